// The page: who acts, which channel, and everything the room tells.

import { $, el, fill } from "./dom.js";
import { anchor, mrkdwn, stateOf } from "./mrkdwn.js";
import { renderBlocks } from "./blocks.js";
import { ask, Forms } from "./forms.js";
import { boardSheet, firstLine, Timeline } from "./timeline.js";
import { Sayer } from "./sayer.js";
import { Wire } from "./wire.js";

const address = new URL(location.href);
const state = { people: [], channels: new Map(), messages: new Map(), ephemerals: new Map(), current: "", bot: {}, unread: new Map(), lost: null, home: null };
let wire = null;

const context = {
  zone: "UTC",
  me: "",
  people: () => state.people,
  known: (id) => state.people.find((each) => each.id === id),
  person: (id) => (id === state.bot.id ? state.bot.name : state.people.find((each) => each.id === id)?.real_name),
  channel: (id) => state.channels.get(id)?.name ?? id,
  tone: (id) => Math.max(0, state.people.findIndex((each) => each.id === id)) % 6,
  botName: () => state.bot.name,
  confirm: (confirm) => ask(confirm, context),
};

const doings = {
  async say(text, thread = "") {
    const answer = await wire.post("say", { channel: state.current, text, thread_ts: thread });
    trouble(answer.ok ? "" : answer.error);
    return answer.ok;
  },
  async click(message, block, element, value) {
    const answer = await wire.post("click", { channel: state.current, ts: message.ts, block_id: block.block_id, action_id: element.action_id, value });
    trouble(answer.ok ? "" : answer.error);
  },
  dismiss(ts) {
    state.ephemerals.get(state.current)?.delete(ts);
    draw();
  },
  toBoard: () => $("board").scrollIntoView({ block: "start" }) ?? $("board").focus(),
  redraw: () => draw(),
};

const timeline = new Timeline($("timeline"), context, doings);
const forms = new Forms(context, () => wire);
const sayer = new Sayer((text) => doings.say(text));

function trouble(text) {
  $("say-trouble").textContent = text;
  $("say-trouble").hidden = !text;
}

// drawing

function bag(map, channel) {
  if (!map.has(channel)) map.set(channel, new Map());
  return map.get(channel);
}

// While a finger or the mouse is down nothing is drawn: a board that changes under a click would swallow it.
let held = false;
let waiting = false;
for (const name of ["pointerup", "pointercancel"]) {
  addEventListener(name, () => {
    held = false;
    if (waiting) setTimeout(draw);
  }, true);
}
addEventListener("pointerdown", () => {
  held = true;
}, true);

function draw() {
  waiting = held;
  if (held) return;
  const channel = state.channels.get(state.current);
  if (!channel) return;
  const mark = channel.direct ? "" : "#";
  $("channel-name").textContent = `${mark}${channel.name}`;
  $("topic").textContent = channel.topic;
  sayer.place(`${mark}${channel.name}`, state.commands);
  const box = $("timeline");
  const low = timeline.draw(channel, bag(state.messages, channel.id), bag(state.ephemerals, channel.id), channel.pins);
  if (low) toEnd();
  drawChannels();
  drawBoard(channel);
}

function drawChannels() {
  const rows = [...state.channels.values()].map((channel) => {
    const unread = state.unread.get(channel.id) ?? 0;
    const current = channel.id === state.current;
    return el("li", {}, el("button", { type: "button", "aria-current": current ? "true" : null, onclick: () => choose(channel.id) },
      el("span", { class: "hash", "aria-hidden": "true" }, channel.direct ? "@" : "#"), el("span", { class: "name" }, channel.name),
      unread > 0 && el("span", { class: "unread", "aria-label": `${unread} new` }, String(unread))));
  });
  if (state.home) rows.push(el("li", {}, el("button", { type: "button", onclick: openHome }, el("span", { class: "hash", "aria-hidden": "true" }, "◆"), el("span", { class: "name" }, "For me"))));
  fill($("channels"), rows);
}

let boardMark = "";
function drawBoard(channel) {
  const messages = bag(state.messages, channel.id);
  const pinned = channel.pins.map((ts) => messages.get(ts)).filter(Boolean);
  const mark = JSON.stringify([channel.id, pinned, channel.bookmarks, context.me]);
  if (mark === boardMark) return;
  boardMark = mark;
  const [board, ...others] = pinned;
  const acting = { ...context, act: (block, element, value) => doings.click(board, block, element, value) };
  const held = document.activeElement?.closest("#pinned") ? document.activeElement.dataset.action : null;
  fill($("pinned"), board ? boardSheet(board, acting) : el("p", { class: "empty" }, "Nothing is pinned here yet. The board will stand in this place."));
  if (held) $("pinned").querySelector(`[data-action="${CSS.escape(held)}"]`)?.focus();
  fill($("more-pins"), others.length ? [el("p", {}, "Also pinned"), el("ul", {}, others.map((each) => el("li", {}, el("button", { class: "link", type: "button", onclick: () => find(each.ts) }, firstLine(each)))))] : []);
  fill($("bookmarks"), channel.bookmarks.map((each) => el("li", {}, anchor(each.link, each.title))));
  const symbol = board && stateOf(firstLine(board)) ? `${firstLine(board)[0]} ` : "";
  document.title = `${symbol}${channel.direct ? "@" : "#"}${channel.name} · Switchroom`;
}

function drawBot() {
  const { connections, heard_s: silent } = state.bot;
  const down = connections === 0;
  const quiet = silent !== null && silent > 20;
  const words = state.lost ? ["unknown", "?", "Room not reached"] : down ? ["bad", "✖", "Bot not connected"] : quiet ? ["warn", "▲", `Bot silent for ${Math.round(silent)} s`] : ["good", "✔", "Bot connected"];
  fill($("bot"), el("span", { class: "sym" }, words[1]), ` ${words[2]}`);
  const alarms = [];
  if (state.lost) alarms.push(`✖ This page lost the room at ${new Date(state.lost).toLocaleTimeString("en-GB")} and tries again. What you see may be old.`);
  else if (down) alarms.push("✖ The bot is not connected. Commands and buttons are not recorded until this bar is gone.");
  $("alarm").hidden = !alarms.length;
  if ($("alarm").textContent !== alarms.join(" ")) $("alarm").textContent = alarms.join(" ");
}

// whether the end of the channel is out of sight, in its own box or, on a phone, on the page
function isAway() {
  const end = $("timeline").lastElementChild?.getBoundingClientRect().bottom ?? 0;
  return end - Math.min($("timeline").getBoundingClientRect().bottom, innerHeight) > 80;
}

// the end of the channel; a card that is higher than the channel shows its beginning, where the worst stands
function toEnd() {
  const box = $("timeline");
  const card = tallCard();
  box.scrollTop = card ? card.offsetTop - box.offsetTop : box.scrollHeight;
}

function tallCard() {
  const last = $("timeline").lastElementChild;
  return last?.classList.contains("card") && last.offsetHeight > $("timeline").clientHeight ? last : null;
}

function choose(channel) {
  state.current = channel;
  state.unread.set(channel, 0);
  remember();
  $("newer").hidden = true;
  draw();
  toEnd();
}

function remember() {
  address.searchParams.set("as", context.me);
  address.searchParams.set("channel", state.current);
  address.searchParams.delete("ts");
  history.replaceState(null, "", address);
}

function find(ts) {
  const message = bag(state.messages, state.current).get(ts);
  if (message?.thread_ts && message.thread_ts !== ts) timeline.open.add(message.thread_ts);
  draw();
  const node = document.getElementById(`m${ts}`);
  node?.scrollIntoView({ block: "center" });
  node?.classList.add("found");
}

async function openHome() {
  await wire.post("home", {});
  const act = (block, element, value) => wire.post("click", { view_id: state.home.id, block_id: block.block_id, action_id: element.action_id, value });
  forms.home = true;
  fill($("modal"), el("form", { method: "dialog" }, el("div", { class: "modal-head" }, el("h2", { id: "modal-title" }, "For me"), el("button", { class: "close", "aria-label": "Close" }, "×")), el("div", { class: "modal-body" }, renderBlocks(state.home.blocks, { ...context, act }))));
  $("modal").showModal();
}

// the carrier's switches

async function drawFaults() {
  const answer = await wire.faults();
  const faults = answer.ok && Array.isArray(answer.faults) ? answer.faults : null;
  const on = (faults ?? []).filter((each) => each.on).length;
  $("faults-on").textContent = on ? `· ${on} broken` : "";
  fill($("faults"), faults ? faults.map(faultRow) : el("li", { class: "faint" }, "The simulated carrier does not answer."));
}

function faultRow(fault) {
  const turn = async () => {
    const answer = await wire.post("faults", { id: fault.id, on: !fault.on });
    trouble(answer.ok ? "" : answer.error);
    await drawFaults();
    document.querySelector(`[data-fault="${CSS.escape(fault.id)}"]`)?.focus();
  };
  return el("li", {}, el("button", { class: "fault", type: "button", role: "switch", "aria-checked": String(Boolean(fault.on)), "data-fault": fault.id, title: fault.description ?? null, onclick: turn },
    el("span", { class: "track", "aria-hidden": "true" }), el("span", { class: "fault-title" }, fault.title), el("span", { class: fault.on ? "fault-note" : "unseen" }, fault.on ? "broken now" : "works")));
}

// what the room tells

function take(kind, channel, message) {
  const box = $("timeline");
  const isNew = !bag(state.messages, channel).has(message.ts);
  bag(kind === "ephemeral" ? state.ephemerals : state.messages, channel).set(message.ts, message);
  if (channel !== state.current) {
    if (isNew && state.channels.has(channel)) state.unread.set(channel, (state.unread.get(channel) ?? 0) + 1);
    drawChannels();
    if (!state.channels.has(channel)) wire.reopen();
    return;
  }
  draw();
  if (isNew && message.user !== context.me && isAway() && tallCard()?.dataset.ts !== message.ts) $("newer").hidden = false;
  if (message.user === context.me || message.is_ephemeral) toEnd();
}

const handlers = {
  state(fresh) {
    Object.assign(state, { people: fresh.people, bot: fresh.bot, commands: fresh.commands, home: fresh.home, lost: null });
    context.me = fresh.me;
    context.zone = context.known(fresh.me)?.tz ?? "UTC";
    state.channels = new Map(fresh.channels.map((channel) => [channel.id, channel]));
    state.messages = new Map(fresh.channels.map((channel) => [channel.id, new Map(channel.messages.map((message) => [message.ts, message]))]));
    $("team").textContent = fresh.team;
    $("rehearsal").hidden = !fresh.rehearsal;
    document.body.classList.toggle("rehearsing", fresh.rehearsal);
    const text = (each) => [each.real_name, each.title].filter(Boolean).join(" · ");
    fill($("acting"), fresh.people.map((each) => el("option", { value: each.id, selected: each.id === fresh.me }, text(each))));
    showHints(fresh.hints);
    $("carrier").hidden = !fresh.carrier;
    if (fresh.carrier) drawFaults();
    if (!matchMedia("(min-width: 68rem)").matches) $("carrier").open = false;
    const wanted = state.current || address.searchParams.get("channel");
    state.current = state.channels.has(wanted) ? wanted : (fresh.channels[0]?.id ?? "");
    drawBot();
    draw();
    forms.show(fresh.views);
  },
  message: (body) => take("message", body.channel, body.message),
  ephemeral: (body) => take("ephemeral", body.channel, body.message),
  deleted(body) {
    bag(state.messages, body.channel).delete(body.ts);
    draw();
  },
  hushed(body) {
    bag(state.ephemerals, body.channel).delete(body.ts);
    draw();
  },
  pins: (body) => change(body, "pins"),
  topic: (body) => change(body, "topic"),
  bookmarks: (body) => change(body, "bookmarks"),
  views: (body) => forms.show(body.views),
  home(body) {
    state.home = body.view;
    drawChannels();
  },
  bot: (body) => hear(body),
  beat: (body) => hear(body),
  faults: () => drawFaults(),
  lost(since) {
    state.lost = since;
    drawBot();
  },
};

function change(body, key) {
  const channel = state.channels.get(body.channel);
  if (channel) channel[key] = body[key];
  draw();
}

function hear(body) {
  Object.assign(state.bot, body);
  drawBot();
}

function showHints(hints) {
  const gone = sessionStorage.getItem("hints") === "gone";
  $("hints").hidden = gone || !hints.length;
  const close = () => {
    sessionStorage.setItem("hints", "gone");
    $("hints").hidden = true;
  };
  const head = el("div", { class: "hints-head" }, el("h2", { class: "small-head" }, "What to try"), el("button", { class: "link", type: "button", onclick: close }, "Hide"));
  fill($("hints"), head, el("ol", {}, hints.map((hint) => el("li", {}, mrkdwn(hint, context)))));
}

// beginning

async function begin(me) {
  wire?.close();
  state.ephemerals.clear();
  state.unread.clear();
  forms.show([]);
  wire = new Wire(me, handlers);
  await wire.open();
  remember();
  toEnd();
}

$("acting").addEventListener("change", (event) => begin(event.target.value));
$("newer").addEventListener("click", () => {
  $("timeline").lastElementChild?.scrollIntoView({ block: "end" });
  $("newer").hidden = true;
});
let low = true;
for (const [node, name] of [[$("timeline"), "scroll"], [window, "scroll"]]) {
  node.addEventListener(name, () => {
    const box = $("timeline");
    low = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    if (!isAway()) $("newer").hidden = true;
  });
}
new ResizeObserver(() => {
  if (low) toEnd();
}).observe($("timeline"));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select, dialog")) {
    event.preventDefault();
    $("say").focus();
    sayer.begin("/");
  }
});

const people = (await (await fetch("/ui/people")).json()).people;
const wanted = address.searchParams.get("as");
const linked = address.searchParams.get("ts");
await begin(people.some((each) => each.id === wanted) ? wanted : people[0].id);
if (linked) find(linked);
if (matchMedia("(min-width: 45rem)").matches) $("say").focus();
