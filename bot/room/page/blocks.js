// Block Kit as DOM nodes. What is clicked goes to `context.act(block, element, value)`; nothing here talks to the room.

import { el } from "./dom.js";
import { anchor, decode, emoji, mrkdwn, person, withSymbol } from "./mrkdwn.js";
import { input, optionsOf } from "./inputs.js";

const BLOCKS = { section, header, divider, context, actions, image, rich_text: richText, input, markdown };

export function renderBlocks(blocks, context_) {
  return el("div", { class: "blocks" }, blocks.map((block) => BLOCKS[block.type]?.(block, context_)));
}

export function textOf(text, context_) {
  return text.type === "mrkdwn" ? mrkdwn(text.text, context_) : text.text.split("\n").map((line) => el("span", { class: "line" }, withSymbol(decode(line))));
}

function words(text, context_) {
  return el("div", { class: "words" }, textOf(text, context_));
}

function section(block, context_) {
  const body = [];
  if (block.text) body.push(words(block.text, context_));
  if (block.fields) body.push(el("div", { class: "fields" }, block.fields.map((field) => words(field, context_))));
  const main = body.length === 1 ? body[0] : el("div", { class: "words" }, body);
  const accessory = block.accessory && element(block, block.accessory, context_);
  return el("div", { class: "section" }, main, accessory);
}

function header(block) {
  return el("div", { class: "header", role: "heading", "aria-level": "3" }, withSymbol(decode(block.text.text)));
}

function divider() {
  return el("hr", { class: "divider" });
}

function context(block, context_) {
  const parts = block.elements.map((part) => (part.type === "image" ? picture(part) : el("span", {}, textOf(part, context_))));
  return el("div", { class: "context" }, parts);
}

function actions(block, context_) {
  return el("div", { class: "actions" }, block.elements.map((each) => element(block, each, context_)));
}

function picture(part) {
  return el("img", { src: part.image_url, alt: part.alt_text, loading: "lazy" });
}

function image(block) {
  return el("figure", { class: "picture" }, block.title && el("figcaption", { class: "faint" }, decode(block.title.text)), picture(block));
}

function markdown(block, context_) {
  return el("div", { class: "words" }, mrkdwn(block.text.replaceAll("**", "*"), context_));
}

// rich text

function richText(block, context_) {
  return el("div", { class: "words" }, block.elements.map((part) => richPart(part, context_)));
}

function richPart(part, context_) {
  const run = () => part.elements.map((each) => richRun(each, context_));
  switch (part.type) {
    case "rich_text_preformatted": return el("pre", {}, run());
    case "rich_text_quote": return el("blockquote", {}, run());
    case "rich_text_list": return el(part.style === "ordered" ? "ol" : "ul", { class: "rich-list" }, part.elements.map((each) => el("li", {}, richPart(each, context_))));
    default: return el("p", {}, run());
  }
}

function richRun(run, context_) {
  const style = run.style ?? {};
  let node;
  if (run.type === "text") node = document.createTextNode(run.text);
  else if (run.type === "link") node = /^(https?:|mailto:)/u.test(run.url) ? anchor(run.url, run.text || run.url) : document.createTextNode(run.text || run.url);
  else if (run.type === "user") node = person(run.user_id, "", context_);
  else if (run.type === "channel") node = el("span", { class: "mention" }, `#${context_.channel(run.channel_id)}`);
  else if (run.type === "broadcast") node = el("span", { class: "mention me" }, `@${run.range}`);
  else if (run.type === "emoji") node = document.createTextNode(emoji(run.name));
  else node = document.createTextNode(run.fallback ?? "");
  for (const [name, tag] of [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]]) if (style[name]) node = el(tag, {}, node);
  return node;
}

// what can be used

function element(block, part, context_) {
  if (part.type === "image") return picture(part);
  if (part.type === "button") return button(block, part, context_);
  if (part.type === "overflow") return menu(block, part, context_, "More…");
  if (part.type === "static_select" || part.type === "users_select") return menu(block, part, context_, part.placeholder?.text ?? "Choose…");
  return input({ ...block, type: "input", element: part, label: { text: "" } }, context_, (value) => context_.act(block, part, value));
}

function button(block, part, context_) {
  if (part.url) return el("a", { class: "button", href: part.url, target: "_blank", rel: "noopener noreferrer" }, decode(part.text.text));
  const use = async (event) => {
    if (part.confirm && !(await context_.confirm(part.confirm))) return;
    const node = event.target;
    node.disabled = true;
    node.setAttribute("aria-busy", "true");
    await context_.act(block, part, part.value ?? null);
    node.disabled = false;
    node.removeAttribute("aria-busy");
  };
  const label = part.accessibility_label ?? null;
  return el("button", { class: `button ${part.style ?? ""}`, type: "button", "aria-label": label, "data-action": part.action_id, onclick: use }, decode(part.text.text));
}

function menu(block, part, context_, first) {
  const chosen = part.initial_option?.value ?? part.initial_user ?? "";
  const use = async (event) => {
    const node = event.target;
    const value = node.value;
    if (!value) return;
    if (part.confirm && !(await context_.confirm(part.confirm))) {
      node.value = chosen;
      return;
    }
    await context_.act(block, part, value);
    if (part.type === "overflow") node.value = "";
  };
  const blank = el("option", { value: "" }, decode(first));
  return el("select", { class: "picker", "aria-label": decode(first), "data-action": part.action_id, onchange: use }, blank, optionsOf(part, context_, chosen));
}
