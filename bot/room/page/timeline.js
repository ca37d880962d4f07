// The channel as a list of messages; each is drawn again only when it changes.

import { el } from "./dom.js";
import { renderBlocks } from "./blocks.js";
import { clock, dayOf, emoji, mrkdwn, stateOf } from "./mrkdwn.js";

const FOLLOWS_S = 300;
const at = (message) => Number(message.ts);

export function firstLine(message) {
  const block = message.blocks?.find((each) => each.text?.text);
  return (block?.text.text ?? message.text ?? "").split("\n")[0].replace(/[*_`]/gu, "");
}

function face(message, context) {
  if (message.bot_id || message.subtype === "room") return el("span", { class: "face", "aria-hidden": "true" }, el("img", { src: "/page/icon.svg", alt: "" }));
  const who = context.known(message.user);
  const initials = (who?.real_name ?? message.user).split(/\s+/u).map((part) => part[0]).slice(0, 2).join("");
  return el("span", { class: `face tone${context.tone(message.user)}`, "aria-hidden": "true" }, initials);
}

function byline(message, context) {
  const machine = message.bot_id || message.subtype === "room";
  const who = context.known(message.user);
  const name = message.subtype === "room" ? "The room" : message.bot_id ? context.botName() : (who?.real_name ?? message.user);
  const edited = message.edited && el("span", { class: "edited" }, "(edited)");
  const when = el("time", { class: "when", datetime: new Date(at(message) * 1000).toISOString(), title: dayOf(at(message), context.zone) }, clock(at(message), context.zone));
  return el("div", { class: "byline" }, el("span", { class: "who" }, name), machine && !message.is_ephemeral && el("span", { class: "app" }, "APP"), who?.title && el("span", { class: "role" }, who.title), when, edited);
}

export function body(message, context) {
  if (message.blocks?.length) return renderBlocks(message.blocks, context);
  return el("div", { class: "words" }, mrkdwn(message.text ?? "", context));
}

export class Timeline {
  constructor(node, context, doings) {
    this.node = node;
    this.context = context;
    this.doings = doings;
    this.open = new Set();
    this.drawn = new Map();
  }

  // *messages* by ts, *private_* ephemerals by ts, *pins* the pinned timestamps
  draw(channel, messages, private_, pins) {
    if (this.channel !== channel.id) {
      this.drawn.clear();
      this.node.replaceChildren();
      this.channel = channel.id;
      this.first = true;
    }
    const low = this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight < 80;
    const all = [...messages.values(), ...private_.values()].sort((one, other) => (one.ts < other.ts ? -1 : 1));
    const top = all.filter((message) => !message.thread_ts || message.thread_ts === message.ts || message.subtype === "thread_broadcast" || !messages.has(message.thread_ts));
    const nodes = [];
    let before = null;
    for (const message of top) {
      if (!before || dayOf(at(before), this.context.zone) !== dayOf(at(message), this.context.zone)) {
        nodes.push(this.day(message));
        before = null;
      }
      nodes.push(this.one(message, before, all, pins));
      before = message;
    }
    if (!nodes.length) nodes.push(el("p", { class: "quiet" }, "Nothing has been said here yet."));
    this.place(nodes);
    this.first = false;
    return low;
  }

  place(nodes) {
    nodes.forEach((node, index) => {
      if (this.node.childNodes[index] !== node) this.node.insertBefore(node, this.node.childNodes[index] ?? null);
    });
    while (this.node.childNodes.length > nodes.length) this.node.lastChild.remove();
  }

  day(message) {
    const text = dayOf(at(message), this.context.zone);
    return this.kept(`day ${text}`, text, () => el("p", { class: "day" }, text));
  }

  one(message, before, all, pins) {
    const replies = all.filter((each) => each.thread_ts === message.ts && each.ts !== message.ts);
    const follows = Boolean(before) && !message.is_ephemeral && !before.is_ephemeral && before.user === message.user && at(message) - at(before) < FOLLOWS_S && !replies.length && !message.edited && !this.isCard(message);
    const board = pins[0] === message.ts;
    const mark = JSON.stringify([message, follows, board, this.open.has(message.ts), replies, this.context.me, this.context.zone]);
    return this.kept(message.ts, mark, () => this.message(message, { follows, board, replies }));
  }

  kept(key, mark, make) {
    const old = this.drawn.get(key);
    if (old?.mark === mark) return old.node;
    const typing = old?.node.querySelector(".replier input");
    const action = old?.node.contains(document.activeElement) ? document.activeElement.dataset.action : null;
    const node = make();
    const replier = node.querySelector?.(".replier input");
    if (typing && replier) {
      replier.value = typing.value;
      if (document.activeElement === typing) queueMicrotask(() => replier.focus());
    }
    if (action) queueMicrotask(() => node.querySelector(`[data-action="${CSS.escape(action)}"]`)?.focus({ preventScroll: true }));
    if (!this.first && old === undefined) node.classList?.add("arrived");
    old?.node.remove();
    this.drawn.set(key, { mark, node });
    return node;
  }

  isCard(message) {
    return Boolean(message.blocks?.some((block) => block.type === "actions" || block.type === "header"));
  }

  message(message, { follows, board, replies }) {
    const kinds = ["message", follows && "follows", message.is_ephemeral && "private", !board && this.isCard(message) && "card"].filter(Boolean).join(" ");
    const context = { ...this.context, act: (block, element, value) => this.doings.click(message, block, element, value) };
    const shown = board ? this.boardLine(message) : body(message, context);
    const only = message.is_ephemeral && el("p", { class: "only" }, "Only visible to you", el("time", { class: "when" }, clock(at(message), this.context.zone)), el("button", { class: "link", type: "button", onclick: () => this.doings.dismiss(message.ts) }, "Dismiss"));
    const inner = el("div", { class: "body" }, !message.is_ephemeral && byline(message, this.context), shown, this.reactions(message), this.thread(message, replies));
    return el("article", { class: kinds, id: `m${message.ts}`, "data-ts": message.ts, "data-state": stateOf(firstLine(message)) || null }, only, face(message, this.context), inner, this.tools(message));
  }

  boardLine(message) {
    return el("p", { class: "board-line" }, "The board: ", firstLine(message), " ", el("button", { class: "link", type: "button", onclick: () => this.doings.toBoard() }, "Show"));
  }

  reactions(message) {
    if (!message.reactions?.length) return null;
    const who = (users) => users.map((user) => this.context.person(user) ?? user).join(", ");
    return el("div", { class: "reactions" }, message.reactions.map((each) => el("span", { class: "reaction", title: who(each.users) }, `${emoji(each.name)} ${each.count}`)));
  }

  tools(message) {
    if (message.is_ephemeral || message.thread_ts) return null;
    return el("div", { class: "tools" }, el("button", { type: "button", onclick: () => this.toggle(message.ts, true) }, "Reply in thread"));
  }

  thread(message, replies) {
    if (message.is_ephemeral) return null;
    const open = this.open.has(message.ts);
    if (!replies.length && !open) return null;
    const count = replies.length === 1 ? "1 reply" : `${replies.length} replies`;
    const last = replies.length ? el("span", { class: "when" }, `last ${clock(at(replies.at(-1)), this.context.zone)}`) : null;
    const line = el("button", { class: "thread-line", type: "button", "aria-expanded": String(open), onclick: () => this.toggle(message.ts) }, `${open ? "▾" : "▸"} ${count}`, last);
    return el("div", {}, line, open && this.opened(message, replies));
  }

  opened(message, replies) {
    const send = async (event) => {
      event.preventDefault();
      const field = event.target.querySelector("input");
      if (await this.doings.say(field.value, message.ts)) field.value = "";
    };
    const list = replies.map((reply) => this.message({ ...reply, thread_ts: reply.thread_ts }, { follows: false, board: false, replies: [] }));
    return el("div", { class: "thread" }, list, el("form", { class: "replier", onsubmit: send }, el("input", { "aria-label": "Reply in this thread", placeholder: "Reply in this thread", autocomplete: "off" }), el("button", { class: "button", type: "submit" }, "Reply")));
  }

  toggle(ts, focus = false) {
    if (this.open.has(ts) && !focus) this.open.delete(ts);
    else this.open.add(ts);
    this.doings.redraw();
    const found = this.node.querySelector(`[data-ts="${ts}"]`);
    (focus ? found?.querySelector(".replier input") : found?.querySelector(".thread-line"))?.focus();
  }
}

export function boardSheet(message, context) {
  const shown = clock(at(message), context.zone);
  return el("div", { class: "sheet", "data-ts": message.ts, "data-state": stateOf(firstLine(message)) || null }, body(message, context), message.edited && fillEdited(shown));
}

function fillEdited(shown) {
  return el("p", { class: "stamp" }, `Posted ${shown}, edited since`);
}

