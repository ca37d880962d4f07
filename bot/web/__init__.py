"""The pages and ports a running bot serves on loopback."""
