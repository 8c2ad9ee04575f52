// What index.js and the files in runs/ hold, as runners/history/explorer/model.py defines it. Empty fields are left out
// there, and put back here.
"use strict";
const millrace = { index: null, details: new Map(), waiting: new Map() };

const ROW = { name: "", pipeline: "", target: "", state: "", part: "", error: "", started: "", seconds: null, by: "", report: "" };
const DETAIL = { parameters: {}, metrics: {}, better: {}, told: [], digests: {}, files: {}, evaluations: {}, distributions: {} };

// Called by the file of a run.
millrace.take = given => {
  const detail = { tasks: [], executions: [], artifacts: [], ...DETAIL, ...given };
  detail.executions = detail.executions.map(each => ({ inputs: {}, outputs: {}, parameters: {}, error: "", page: "", time: "", ...each }));
  detail.artifacts = detail.artifacts.map(each => ({ digest: "", maker: "", facts: {}, type: "", uri: "", name: "", ...each }));
  detail.tasks = detail.tasks.map(each => ({ after: [], seconds: null, facts: "", alert: "", error: "", execution: "", page: "", log: "", condition: "", ...each }));
  millrace.details.set(detail.id, detail);
};

// A promise of all of a run; its file is loaded once.
millrace.detail = id => {
  if (millrace.details.has(id)) return Promise.resolve(millrace.details.get(id));
  if (!millrace.waiting.has(id)) {
    millrace.waiting.set(id, new Promise((resolve, reject) => {
      const row = millrace.runs.get(id);
      const fail = () => { millrace.waiting.delete(id); reject(new Error(`${id}: its file is not there or damaged; ./millrace explore writes it anew`)); };
      if (!row) { fail(); return; }
      const script = document.createElement("script");
      script.src = `runs/${encodeURIComponent(row.file)}`;
      script.onload = () => { script.remove(); if (millrace.details.has(id)) resolve(millrace.details.get(id)); else fail(); };
      script.onerror = fail;
      document.head.append(script);
    }));
  }
  return millrace.waiting.get(id);
};

// Makes the index ready: rows by id, names in place of their numbers.
millrace.prepare = () => {
  const index = millrace.index;
  if (!index) return false;
  const names = index.names || [];
  index.runs = (index.runs || []).map(each => ({
    ...ROW, ...each, pushes: (each.pushes || []).map(push => ({ destination: "", artifact: "", ...push })),
    models: (each.models || []).map(model => ({ name: "", digest: "", metrics: {}, blessed: null, reason: "", approval: "", baseline: "", version: "", chosen: null, ...model })),
    sources: (each.sources || []).map(place => names[place]), executions: (each.executions || []).map(place => names[place]),
  }));
  index.versions = (index.versions || []).map(each => ({ destination: "", by: "", time: "", until: "", run: "", digest: "", blessed: null, reason: "", approval: "", again: "", artifact: "", ...each }));
  millrace.stands = new Map(index.versions.map(each => [standing(each.destination, each.model, each.number), each.state]));
  millrace.runs = new Map(index.runs.map(row => [row.id, row]));
  return true;
};

const standing = (destination, model, version) => [destination, model, version].join("\u0000");
