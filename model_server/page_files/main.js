// Asks as every client does: POST to …:predict. The page has one row.
"use strict";
const LONGEST_LINE = 4000;
let about = null, fields = [];

function say(message, control) {
  at("fault").textContent = message;
  at("fault").hidden = !message;
  for (const each of document.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
  if (control) { control.setAttribute("aria-invalid", "true"); control.focus(); }
}

// What the server says, or an error in its own words.
async function answerOf(path, options) {
  let reply, text;
  try { reply = await fetch(path, options); text = await reply.text(); }
  catch { throw new Error("The server does not answer."); }
  let found;
  try { found = parsed(text); } catch { throw new Error(`The server's answer (${reply.status}) is no JSON.`); }
  if (!reply.ok) throw new Error(found.error || `The server refuses (${reply.status}).`);
  return [found, reply];
}

const place = () => {
  const [kind, name] = at("choice").value.split("/");
  return kind ? `/${kind}s/${encodeURIComponent(name)}` : "";
};

async function load(choice) {
  const [kind, name] = choice.split("/");
  const [found] = await answerOf(`page/model${kind ? `?${kind}=${encodeURIComponent(name)}` : ""}`);
  const kept = about && JSON.stringify(about.inputs) === JSON.stringify(found.inputs);
  about = found;
  document.title = `Ask ${about.model}`;
  at("model").textContent = `Ask ${about.model}`;
  at("service").textContent = `Version ${about.in_service} is in service.`;
  const options = [["", `the version in service (${about.in_service})`],
    ...Object.entries(about.labels).map(([label, version]) => [`label/${label}`, `${label} (version ${version})`]),
    ...about.versions.map(version => [`version/${version}`, `version ${version}`])];
  at("choice").replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  at("choice").value = options.some(([value]) => value === choice) ? choice : "";
  const count = about.examples.length;
  const chosen = at("example").value;
  at("example").replaceChildren(...about.examples.map((_, row) => h("option", { value: row }, `example ${row + 1} of ${count}`)), h("option", { value: "" }, "no values"));
  if (kept && [...at("example").options].some(option => option.value === chosen)) at("example").value = chosen;
  if (!kept) {
    fields = about.inputs.map(spec => field(spec, about.examples));
    // Those that take a whole line come last.
    const isLarge = each => each.element.classList.contains("large");
    const ordered = [...fields.filter(each => !isLarge(each)), ...fields.filter(isLarge)];
    at("fields").replaceChildren(at("fields").firstElementChild, ...ordered.map(each => each.element));
    begin();
  }
  at("form").hidden = false;
}

function begin() {
  const row = about.examples[at("example").value];
  about.inputs.forEach((spec, index) => fields[index].put(row ? row[spec.name] : undefined));
}

function tell(body) {
  const path = `v1/models/${encodeURIComponent(about.model)}${place()}:predict`;
  const url = new URL(path, location.href).href.replaceAll("'", "%27");
  const line = body.length > LONGEST_LINE ? "@request.json" : `'${body.replaceAll("'", "'\\''")}'`;
  at("curl").textContent = `curl --data ${line} '${url}'`;
  URL.revokeObjectURL(at("save").href);
  at("save").href = URL.createObjectURL(new Blob([body], { type: "application/json" }));
  at("copied").textContent = "";
  at("request").hidden = false;
  return path;
}

async function ask(event) {
  event.preventDefault();
  if (at("ask").getAttribute("aria-disabled") === "true") return;
  say("");
  let body;
  try {
    const row = Object.fromEntries(about.inputs.map((spec, index) => [spec.name, fields[index].get()]));
    body = written({ instances: [row] });
  } catch (error) { say(error.message, error.control); return; }
  const path = tell(body);
  at("ask").setAttribute("aria-disabled", "true");
  try {
    const [found, reply] = await answerOf(path, { method: "POST", body });
    const version = reply.headers.get("X-Model-Version");
    at("by").textContent = `Version ${version} answered.`;
    at("answer").replaceChildren(...answer(about.outputs, found.predictions[0]));
    at("answered").hidden = false;
    offerFeedback(reply.headers.get("X-Prediction-Id"), about.outputs, found.predictions[0]);
    // Another version may be in service by now.
    if (!at("choice").value && Number(version) !== about.in_service) await load("");
  } catch (error) {
    at("answered").hidden = at("feedback").hidden = true;
    say(error.message);
  } finally { at("ask").removeAttribute("aria-disabled"); }
}

async function choose() {
  say("");
  try { await load(at("choice").value); } catch (error) { say(error.message); }
}

at("form").addEventListener("submit", ask);
at("choice").addEventListener("change", choose);
at("example").addEventListener("change", begin);
at("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(at("curl").textContent); at("copied").textContent = "copied"; }
  catch { getSelection().selectAllChildren(at("curl")); at("copied").textContent = "selected; copy it with the keyboard"; }
});
choose();
