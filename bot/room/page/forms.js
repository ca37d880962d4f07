// Modals and confirm dialogs, in the browser's own <dialog>: focus stays inside, Escape closes.

import { $, el, fill } from "./dom.js";
import { renderBlocks, textOf } from "./blocks.js";
import { decode } from "./mrkdwn.js";
import { showErrors, typedIn } from "./inputs.js";

export function ask(confirm, context) {
  const dialog = $("confirm");
  return new Promise((resolve) => {
    const sure = `button ${confirm.style === "danger" ? "danger sure" : "primary"}`;
    const form = el("form", { method: "dialog" },
      el("div", { class: "modal-head" }, el("h2", { id: "confirm-title" }, decode(confirm.title.text))),
      el("div", { class: "modal-body" }, el("div", { class: "words" }, textOf(confirm.text, context))),
      el("div", { class: "modal-foot" },
        el("button", { class: "button", value: "no", autofocus: true }, decode(confirm.deny.text)),
        el("button", { class: sure, value: "yes" }, decode(confirm.confirm.text))));
    fill(dialog, form);
    dialog.returnValue = "no";
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
  });
}

export class Forms {
  constructor(context, wire) {
    this.context = context;
    this.wire = wire;
    this.dialog = $("modal");
    this.view = null;
    this.home = false;
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.leave();
    });
  }

  show(views) {
    const top = views.at(-1) ?? null;
    if (!top) {
      this.view = null;
      if (this.dialog.open) this.dialog.close();
      return;
    }
    if (this.view?.id === top.id && this.view.hash === top.hash) return;
    const typed = this.view?.id === top.id ? typedIn(this.dialog) : {};
    this.view = top;
    this.home = false;
    fill(this.dialog, this.form(top, typed, views.length));
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.querySelector(".field input, .field textarea, .field select, .modal-foot .button")?.focus();
  }

  form(view, typed, depth) {
    const act = (block, element, value) => this.act(view, block, element, value);
    const blocks = renderBlocks(view.blocks, { ...this.context, typed, act });
    const send = async (event) => {
      event.preventDefault();
      await this.submit(view, event.target);
    };
    const back = view.close?.text ?? (depth > 1 ? "Back" : "Cancel");
    return el("form", { onsubmit: send, novalidate: true },
      el("div", { class: "modal-head" },
        el("h2", { id: "modal-title" }, decode(view.title.text)),
        el("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => this.leave() }, "×")),
      el("div", { class: "modal-body" }, blocks),
      el("div", { class: "modal-foot" },
        el("p", { class: "trouble", role: "alert", hidden: true }),
        el("button", { class: "button", type: "button", onclick: () => this.leave() }, decode(back)),
        view.submit && el("button", { class: "button primary", type: "submit" }, decode(view.submit.text))));
  }

  trouble(text) {
    const line = this.dialog.querySelector(".modal-foot .trouble");
    if (!line) return;
    line.textContent = text;
    line.hidden = !text;
  }

  async submit(view, form) {
    const button = form.querySelector("[type=submit]");
    const label = button.textContent;
    button.disabled = true;
    button.textContent = "Sending…";
    const answer = await this.wire().post("submit", { view_id: view.id, values: typedIn(form) });
    button.disabled = false;
    button.textContent = label;
    showErrors(form, answer.errors ?? {});
    this.trouble(answer.ok ? (answer.notice ?? "") : answer.error);
  }

  async act(view, block, element, value) {
    const answer = await this.wire().post("click", { view_id: view.id, block_id: block.block_id, action_id: element.action_id, value, typed: typedIn(this.dialog) });
    this.trouble(answer.ok ? (answer.notice ?? "") : answer.error);
  }

  async leave() {
    if (this.home) {
      this.home = false;
      this.dialog.close();
      return;
    }
    if (!this.view) return;
    const answer = await this.wire().post("close", { view_id: this.view.id });
    if (!answer.ok) {
      this.view = null;
      this.dialog.close();
    }
  }
}
