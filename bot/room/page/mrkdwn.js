// Slack's mrkdwn as DOM nodes: *bold* _italic_ ~struck~ `code` ```pre``` > quote <url|text> <@U> <#C> <!date^…>.
// Only &amp; &lt; &gt; are decoded, and only into text: what arrives escaped stays text.

import { el } from "./dom.js";

const STATES = { "✖": "bad", "▲": "warn", "✔": "good", "?": "unknown" };
const EMOJI = {
  white_check_mark: "✔", heavy_check_mark: "✔", x: "✖", warning: "▲", question: "?", rotating_light: "🚨", red_circle: "🔴",
  large_green_circle: "🟢", large_yellow_circle: "🟡", eyes: "👀", thumbsup: "👍", "+1": "👍", thumbsdown: "👎", "-1": "👎",
  pushpin: "📌", memo: "📝", hourglass: "⏳", phone: "☎", tada: "🎉",
};
const OPENERS = { "*": "strong", _: "em", "~": "s" };

export function decode(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

export const emoji = (name) => EMOJI[name] ?? `:${name}:`;

export function stateOf(text) {
  return /^[✖▲✔?] /u.test(text) ? STATES[text[0]] : "";
}

export function withSymbol(text) {
  const state = stateOf(text);
  return state ? [el("span", { class: `sym ${state}` }, text[0]), text.slice(1)] : [text];
}

// *context* is { zone, person(id), channel(id), me }
export function mrkdwn(text, context) {
  const nodes = [];
  text.split(/```\n?/u).forEach((part, index, parts) => {
    const fenced = index % 2 === 1 && index < parts.length - 1;
    if (fenced) nodes.push(el("pre", {}, decode(part.replace(/\n$/u, ""))));
    else if (part) nodes.push(...lines(index % 2 === 1 ? "```" + part : part, context));
  });
  return nodes;
}

function lines(text, context) {
  const nodes = [];
  let quote = null;
  for (const line of text.replace(/^\n|\n$/gu, "").split("\n")) {
    const quoted = /^(?:&gt;|>) ?(.*)$/u.exec(line);
    if (!quoted) quote = null;
    if (quoted && !quote) nodes.push((quote = el("blockquote")));
    const body = quoted ? quoted[1] : line;
    const [whole, practice, hour] = /^(REHEARSAL · )?((?:\d\d? \w{3} )?\d\d:\d\d )?/u.exec(body);
    const told = body.slice(whole.length);
    const state = stateOf(told);
    const start = [practice && el("span", { class: "practice" }, "REHEARSAL"), practice && " ", hour, state && el("span", { class: `sym ${state}` }, told[0])];
    const rest = [...start.filter(Boolean), ...inline(told.slice(state ? 1 : 0), context)];
    (quote ?? nodes)[quote ? "append" : "push"](el("span", { class: "line" }, rest));
  }
  return nodes;
}

export function inline(text, context) {
  const nodes = [];
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(decode(plain.replace(/:([a-z0-9_+-]+):/gu, (whole, name) => EMOJI[name] ?? whole)));
    plain = "";
  };
  for (let at = 0; at < text.length; ) {
    const found = code(text, at) ?? control(text, at, context) ?? styled(text, at, context);
    if (found) {
      flush();
      nodes.push(found.node);
      at = found.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

function code(text, at) {
  if (text[at] !== "`") return null;
  const end = text.indexOf("`", at + 1);
  return end > at + 1 ? { node: el("code", {}, decode(text.slice(at + 1, end))), end: end + 1 } : null;
}

function styled(text, at, context) {
  const tag = OPENERS[text[at]];
  if (!tag || /[\p{L}\p{N}]/u.test(text[at - 1] ?? " ") || /\s/u.test(text[at + 1] ?? " ")) return null;
  for (let end = text.indexOf(text[at], at + 2); end !== -1; end = text.indexOf(text[at], end + 1)) {
    if (/\s/u.test(text[end - 1]) || /[\p{L}\p{N}]/u.test(text[end + 1] ?? " ")) continue;
    return { node: el(tag, {}, inline(text.slice(at + 1, end), context)), end: end + 1 };
  }
  return null;
}

function control(text, at, context) {
  if (text[at] !== "<") return null;
  const end = text.indexOf(">", at + 1);
  if (end === -1) return null;
  const [target, label] = halves(text.slice(at + 1, end), "|");
  const node = mention(target, label, context);
  return node ? { node, end: end + 1 } : null;
}

function halves(text, mark) {
  const at = text.indexOf(mark);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function mention(target, label, context) {
  if (target.startsWith("@")) return person(target.slice(1), label, context);
  if (target.startsWith("#")) return el("span", { class: "mention" }, `#${decode(label) || context.channel(target.slice(1))}`);
  if (target.startsWith("!date^")) return date(target, label, context);
  if (target.startsWith("!subteam^")) return el("span", { class: "mention" }, decode(label) || "@group");
  if (/^!(channel|here|everyone)$/u.test(target)) return el("span", { class: "mention me" }, `@${target.slice(1)}`);
  if (/^(https?:|mailto:)/u.test(target)) return anchor(decode(target), decode(label) || decode(target));
  return null;
}

export function person(id, label, context) {
  const name = context.person(id) ?? (decode(label) || id);
  return el("span", { class: id === context.me ? "mention me" : "mention" }, `@${name}`);
}

export function anchor(address, text) {
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text);
}

function date(target, fallback, context) {
  const [, seconds, pattern, link] = target.split("^");
  const at = Number(seconds);
  if (!Number.isFinite(at) || !pattern) return decode(fallback);
  const text = decode(pattern).replace(/\{([a-z_]+)\}/gu, (whole, token) => stamp(at, token, context.zone) ?? whole);
  const shown = el("time", { class: "stamped", datetime: new Date(at * 1000).toISOString(), title: `${clock(at, "UTC")} UTC` }, text);
  return link && /^https?:/u.test(link) ? el("a", { href: decode(link), rel: "noopener noreferrer", target: "_blank" }, shown) : shown;
}

const format = (at, zone, options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }).format(at * 1000);
export const clock = (at, zone) => format(at, zone, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const dayOf = (at, zone) => format(at, zone, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

function stamp(at, token, zone) {
  switch (token) {
    case "time": return clock(at, zone);
    case "time_secs": return format(at, zone, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    case "date_num": return format(at, zone, { year: "numeric", month: "2-digit", day: "2-digit" }).split("/").reverse().join("-");
    case "date": return format(at, zone, { day: "numeric", month: "long", year: "numeric" });
    case "date_short": return format(at, zone, { day: "numeric", month: "short", year: "numeric" });
    case "date_long": return dayOf(at, zone);
    case "date_pretty": return near(at, zone) ?? stamp(at, "date", zone);
    case "date_short_pretty": return near(at, zone) ?? stamp(at, "date_short", zone);
    case "date_long_pretty": return near(at, zone) ?? stamp(at, "date_long", zone);
    case "ago": return ago(at);
    default: return null;
  }
}

function near(at, zone) {
  const days = { 0: "today", [-1]: "yesterday", 1: "tomorrow" };
  for (const [shift, word] of Object.entries(days)) {
    if (dayOf(at, zone) === dayOf(Date.now() / 1000 + Number(shift) * 86400, zone)) return word;
  }
  return null;
}

function ago(at) {
  const minutes = Math.round((Date.now() / 1000 - at) / 60);
  if (Math.abs(minutes) < 60) return minutes >= 0 ? `${minutes} min ago` : `in ${-minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours >= 0 ? `${hours} h ago` : `in ${-hours} h`;
}
