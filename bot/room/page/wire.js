// Talking to the room: one state, one stream, and POSTs that carry the CSRF token.

export class Wire {
  constructor(me, handlers) {
    this.me = me;
    this.handlers = handlers;
    this.csrf = "";
    this.stream = null;
    this.heard = Date.now();
    this.lost = false;
    this.beat = 3000;
    this.watch = setInterval(() => this.check(), 1000);
  }

  async open() {
    const answer = await fetch(`/ui/state?as=${encodeURIComponent(this.me)}`);
    if (!answer.ok) throw new Error(await answer.text());
    const state = await answer.json();
    this.csrf = state.csrf;
    this.beat = state.beat_s * 1000;
    this.handlers.state(state);
    this.listen(state.cursor);
  }

  listen(cursor) {
    this.stream?.close();
    this.stream = new EventSource(`/ui/events?as=${encodeURIComponent(this.me)}&cursor=${cursor}`);
    for (const kind of ["message", "deleted", "ephemeral", "hushed", "pins", "topic", "bookmarks", "views", "home", "bot", "beat", "faults"]) {
      this.stream.addEventListener(kind, (event) => {
        this.alive();
        if (event.data !== undefined) this.handlers[kind]?.(JSON.parse(event.data));
      });
    }
    this.stream.addEventListener("again", () => this.reopen());
  }

  alive() {
    this.heard = Date.now();
    if (this.lost) {
      this.lost = false;
      this.handlers.lost(null);
    }
  }

  check() {
    if (Date.now() - this.heard < this.beat * 2 + 3000) return;
    this.lost = true;
    this.handlers.lost(this.heard);
    if (this.stream?.readyState === EventSource.CLOSED) this.reopen();
  }

  async reopen() {
    try {
      await this.open();
      this.alive();
    } catch {
      // the watch tries again
    }
  }

  async post(act, body, again = true) {
    let answer;
    try {
      answer = await fetch(`/ui/${act}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRF-Token": this.csrf },
        body: JSON.stringify({ as: this.me, ...body }),
      });
    } catch {
      return { ok: false, error: "The room does not answer; nothing was sent. Your text is kept." };
    }
    if (answer.status === 403 && again) {
      await this.reopen();
      return this.post(act, body, false);
    }
    try {
      return await answer.json();
    } catch {
      return { ok: false, error: `The room refused this (${answer.status}).` };
    }
  }

  async faults() {
    try {
      return await (await fetch("/ui/faults")).json();
    } catch {
      return { ok: false };
    }
  }

  close() {
    clearInterval(this.watch);
    this.stream?.close();
  }
}
