// The fields of a form: label, field, hint, error. What is typed is read back with `typedIn`.

import { el } from "./dom.js";
import { decode, mrkdwn } from "./mrkdwn.js";

let drawn = 0;

export function optionsOf(part, context, chosen) {
  const wanted = [chosen].flat();
  const option = (value, text) => el("option", { value, selected: wanted.includes(value) }, text);
  if (part.type.endsWith("users_select")) return context.people().map((each) => option(each.id, [each.real_name, each.title].filter(Boolean).join(" · ")));
  if (part.option_groups) return part.option_groups.map((group) => el("optgroup", { label: decode(group.label.text) }, group.options.map((each) => option(each.value, decode(each.text.text)))));
  return part.options.map((each) => option(each.value, decode(each.text.text)));
}

export function input(block, context, changed = null) {
  const part = block.element;
  const id = `field-${(drawn += 1)}`;
  const typed = context.typed?.[block.block_id];
  const many = part.type === "radio_buttons" || part.type === "checkboxes";
  const about = [block.hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" ");
  const field = many ? choices(part, id, typed, context) : single(part, id, typed, about, context, block.optional);
  const tell = changed && (() => changed(valueOf(field, part)));
  if (tell) field.addEventListener("change", tell);
  const optional = block.optional && el("span", { class: "optional" }, " (optional)");
  const label = block.label.text && (many ? el("legend", {}, decode(block.label.text), optional) : el("label", { for: id }, decode(block.label.text), optional));
  const hint = block.hint && el("p", { class: "faint", id: `${id}-hint` }, decode(block.hint.text));
  const node = el(many ? "fieldset" : "div", { class: "field", "data-block": block.block_id }, label, field, hint, el("p", { class: "error", id: `${id}-error`, hidden: true }));
  node.read = () => valueOf(field, part);
  if (block.dispatch_action && context.act) field.addEventListener("change", () => context.act(block, part, valueOf(field, part)));
  return node;
}

function single(part, id, typed, about, context, optional) {
  const common = { id, name: part.action_id, "aria-describedby": about, placeholder: part.placeholder?.text, autofocus: part.focus_on_load, "aria-required": optional ? null : "true" };
  if (part.type.endsWith("select")) {
    const several = part.type.startsWith("multi");
    const chosen = typed ?? part.initial_option?.value ?? part.initial_user ?? part.initial_options?.map((each) => each.value) ?? part.initial_users ?? "";
    return el("select", { ...common, class: "picker", multiple: several }, !several && el("option", { value: "" }, part.placeholder?.text ?? "Choose…"), optionsOf(part, context, chosen));
  }
  const value = typed ?? part.initial_value ?? part.initial_date ?? part.initial_time ?? "";
  if (part.multiline) {
    const area = el("textarea", { ...common, maxlength: part.max_length, rows: 4 });
    area.value = value;
    return area;
  }
  const kinds = { datepicker: "date", timepicker: "time", number_input: "number", email_text_input: "email", url_text_input: "url" };
  const field = el("input", { ...common, type: kinds[part.type] ?? "text", maxlength: part.max_length, step: part.is_decimal_allowed ? "any" : null, autocomplete: "off" });
  field.value = value;
  return field;
}

function choices(part, id, typed, context) {
  const initial = part.initial_option ? [part.initial_option.value] : (part.initial_options ?? []).map((each) => each.value);
  const chosen = [typed ?? initial].flat();
  const kind = part.type === "checkboxes" ? "checkbox" : "radio";
  const rows = part.options.map((each, index) =>
    el("div", { class: "choice" }, el("input", { type: kind, name: id, id: `${id}-${index}`, value: each.value, checked: chosen.includes(each.value) }),
      el("label", { for: `${id}-${index}` }, each.text.type === "mrkdwn" ? mrkdwn(each.text.text, context) : decode(each.text.text), each.description && el("span", { class: "faint" }, ` ${decode(each.description.text)}`))));
  return el("div", {}, rows);
}

function valueOf(field, part) {
  if (part.type === "checkboxes") return [...field.querySelectorAll("input:checked")].map((each) => each.value);
  if (part.type === "radio_buttons") return field.querySelector("input:checked")?.value ?? null;
  if (field.multiple) return [...field.selectedOptions].map((each) => each.value);
  return field.value;
}

export function typedIn(form) {
  return Object.fromEntries([...form.querySelectorAll(".field[data-block]")].map((node) => [node.dataset.block, node.read()]));
}

export function showErrors(form, errors) {
  let first = null;
  for (const node of form.querySelectorAll(".field[data-block]")) {
    const text = errors[node.dataset.block];
    const line = node.querySelector(".error");
    const field = node.querySelector("input, textarea, select");
    line.hidden = !text;
    line.textContent = text ?? "";
    node.classList.toggle("wrong", Boolean(text));
    if (text) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
    if (text && !first) first = field;
  }
  first?.focus();
}
