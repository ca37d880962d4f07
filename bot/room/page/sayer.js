// The message box: Enter sends, Shift+Enter breaks the line, arrow up brings back what was sent, Tab completes a command.

import { $ } from "./dom.js";

const KEPT = 50;

export class Sayer {
  constructor(send) {
    this.box = $("say");
    this.sent = JSON.parse(sessionStorage.getItem("sent") ?? "[]");
    this.back = 0;
    this.draft = "";
    this.commands = [];
    $("sayer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(send);
    });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("input", () => this.fit());
  }

  place(channel, commands) {
    this.commands = commands;
    this.box.placeholder = `Write to ${channel}, or ${commands[0]} …`;
  }

  begin(text) {
    if (!this.box.value) this.box.value = text;
    this.fit();
  }

  fit() {
    this.box.style.height = "auto";
    this.box.style.height = `${this.box.scrollHeight + 3}px`;
    this.box.classList.toggle("command", this.box.value.startsWith("/"));
  }

  async send(send) {
    const text = this.box.value.trim();
    if (!text) return;
    this.box.value = "";
    this.fit();
    this.sent = [...this.sent.filter((each) => each !== text), text].slice(-KEPT);
    this.back = 0;
    sessionStorage.setItem("sent", JSON.stringify(this.sent));
    if (!(await send(text)) && !this.box.value) this.box.value = text;
    this.fit();
  }

  key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      $("sayer").requestSubmit();
    } else if (event.key === "ArrowUp" && (this.back > 0 || !this.box.value.includes("\n"))) {
      this.walk(event, 1);
    } else if (event.key === "ArrowDown" && this.back > 0) {
      this.walk(event, -1);
    } else if (event.key === "Tab" && !event.shiftKey && this.box.value.startsWith("/")) {
      this.complete(event);
    }
  }

  walk(event, step) {
    const back = Math.max(0, Math.min(this.sent.length, this.back + step));
    if (back === this.back) return;
    event.preventDefault();
    if (this.back === 0) this.draft = this.box.value;
    this.back = back;
    this.box.value = back === 0 ? this.draft : this.sent.at(-back);
    this.fit();
  }

  complete(event) {
    const found = this.commands.find((each) => each.startsWith(this.box.value) && each !== this.box.value);
    if (!found) return;
    event.preventDefault();
    this.box.value = `${found} `;
    this.fit();
  }
}
