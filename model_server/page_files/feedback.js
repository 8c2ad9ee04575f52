// What a person says of an answer that is logged, as a label that is sent to …/feedback. Yes and no are offered where
// the answer says which label it means; else the value itself is asked for.
"use strict";
const labelled = { id: null, yes: undefined };

const isIn = (label, value) => !label.values.length || label.values.includes(value);

// The label that an answer means; undefined where that is not to be told.
function meant(label, outputs, prediction) {
  if (!label.name) return undefined;
  const values = outputs.map(({ name }) => outputs.length > 1 ? prediction[name] : prediction).map(each => Array.isArray(each) ? each.flat(Infinity) : [each]);
  if (label.type === "BYTES") {
    const texts = values.filter(each => each.every(one => typeof one === "string" && isIn(label, one)));
    if (texts.length !== 1) return undefined;
    const [names] = texts, scores = values.find(each => each !== names && each.length === names.length && each.every(isShare));
    return names.length === 1 ? names[0] : scores && names[scores.indexOf(Math.max(...scores))];
  }
  if (label.type !== "INT" || values.length !== 1 || !values[0].every(isShare)) return undefined;
  const [shares] = values;
  const found = shares.length === 1 ? Number(shares[0] >= 0.5) : shares.indexOf(Math.max(...shares));
  const most = shares.length === 1 ? 1 : shares.length - 1;
  return (label.least ?? 0) === 0 && (label.most ?? most) === most ? found : undefined;
}

// Of two classes the other one.
const other = (label, yes) => label.type === "BYTES" ? (label.values.length === 2 ? label.values.find(each => each !== yes) : undefined)
  : (label.most ?? 1) === 1 ? 1 - yes : undefined;

function offerFeedback(id, outputs, prediction) {
  const label = about.feedback;
  at("feedback").hidden = !label;
  if (!label) return;
  labelled.id = id;
  labelled.yes = id ? meant(label, outputs, prediction) : undefined;
  const name = label.name || "the label", isKnown = labelled.yes !== undefined;
  const no = isKnown ? other(label, labelled.yes) : undefined;
  at("judge").hidden = !id;
  at("judge-of").textContent = id ? `Prediction ${id} is logged; a model can be trained on what is said here.` : "This answer is not among those that are logged, so nothing can be said of it; another one may be.";
  at("right").hidden = at("wrong").hidden = !isKnown;
  at("right").textContent = `Yes: ${name} is ${labelled.yes}`;
  at("wrong").textContent = no === undefined ? "No" : `No: ${name} is ${no}`;
  at("wrong").onclick = () => no === undefined ? (judged("Then say what it is."), at("truth").focus()) : send(no, "explicit");
  const values = label.type === "BYTES" && label.values.length && label.values.length <= 100;
  const control = values ? h("select", { id: "truth" }, label.values.map(each => h("option", {}, each))) : h("input", { id: "truth", type: "text", autocomplete: "off", spellcheck: "false" });
  at("truth").replaceWith(control);
  at("truth-name").textContent = `${isKnown ? "or " : ""}${name} is`;
  judged("");
}

const judged = said => { at("judged").textContent = said; };

async function send(value, kind) {
  try {
    const body = written({ prediction_id: labelled.id, label: value, kind });
    const path = `v1/models/${encodeURIComponent(about.model)}/feedback`;
    await answerOf(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    judged(`Kept: ${typeof value === "string" ? value : written(value)}. If more is said, the newest counts.`);
  } catch (error) { judged(error.message); }
}

function sendTruth(event) {
  event.preventDefault();
  const text = at("truth").value.trim(), label = about.feedback;
  if (!text) { judged("Give a value."); return; }
  const isNumber = /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(text);
  if ((label.type === "INT" || label.type === "FLOAT") && !isNumber) { judged(`${label.name} is a number; ${text} is none.`); return; }
  if (label.type === "INT" && !/^-?\d+$/.test(text)) { judged(`${label.name} is a whole number; ${text} is none.`); return; }
  const value = isNumber && label.type !== "BYTES" ? new Exact(text) : text;
  // A yes that is written out is no correction.
  send(value, labelled.yes !== undefined && String(labelled.yes) === text ? "explicit" : "corrected");
}

at("right").addEventListener("click", () => send(labelled.yes, "explicit"));
at("judge").addEventListener("submit", sendTruth);
