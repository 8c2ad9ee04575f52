// A field for each input, by its type and shape: put(value) fills it in, get() is what is sent. An empty one is a missing
// value, for which stands what the project's exports take for one: NaN, the smallest integer, an empty text.
"use strict";
const SMALLEST = { int64: "-9223372036854775808", int32: "-2147483648", int16: "-32768", int8: "-128" };
const IMAGE_SIGNS = [["/9j/", "jpeg"], ["iVBORw0KGgo", "png"], ["R0lGOD", "gif"], ["Qk", "bmp"], ["UklGR", "webp"]];
const IMAGE_NAME = /image|photo|picture|jpe?g|png/i;
const LARGEST_SIDE = 1024;

const isText = spec => spec.dtype === "string";
const isWhole = spec => /int/.test(spec.dtype);
const missing = spec => isText(spec) ? "" : spec.dtype === "bool" ? false : isWhole(spec) ? new Exact(SMALLEST[spec.dtype] || "0") : new Exact("NaN");
const isMissing = (spec, value) => value === "" || value instanceof Exact && [SMALLEST[spec.dtype], "NaN"].includes(value.text)
  || isWhole(spec) && String(value) === SMALLEST[spec.dtype];
const shown = (spec, value) => isMissing(spec, value) ? "" : value instanceof Exact ? value.text : String(value);
const imageType = value => value && value.b64 && (IMAGE_SIGNS.find(([sign]) => value.b64.startsWith(sign)) || [])[1];

class Wrong extends Error { constructor(message, control) { super(message); this.control = control; } }

function number(spec, text, control) {
  const trimmed = text.trim();
  if (!trimmed) return missing(spec);
  if (spec.dtype === "bool" && /^(true|false)$/.test(trimmed)) return trimmed === "true";
  if (isWhole(spec) ? /^-?\d+$/.test(trimmed) : /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed))
    return new Exact(trimmed.replace(/^(-?)0+(?=\d)/, "$1").replace(/^(-?)\./, "$10.").replace(/\.(?=$|e)/i, ".0"));
  if (!isWhole(spec) && /^(NaN|-?Infinity)$/.test(trimmed)) return new Exact(trimmed);
  throw new Wrong(`${spec.name}: ${trimmed} is no ${isWhole(spec) ? "whole number" : "number"}`, control);
}

function field(spec, examples) {
  const first = examples.length ? examples[0][spec.name] : undefined;
  const [, ...sizes] = spec.shape || [];
  const isTensor = !isText(spec) && spec.dtype !== "bool" && sizes.length >= 2 && sizes.length <= 3
    && sizes.slice(0, 2).every(size => size === null || size >= 4) && (sizes.length === 2 || [1, 3, 4].includes(sizes[2]));
  if (isTensor) return tensorField(spec, sizes, first);
  if (!spec.shape || sizes.length > 1) return jsonField(spec, sizes);
  if (sizes.length === 1) return listField(spec, sizes[0]);
  if (isText(spec) && (imageType(first) || first && first.b64 || IMAGE_NAME.test(spec.name))) return fileField(spec);
  return spec.dtype === "bool" ? boolField(spec) : plainField(spec);
}

let fieldCount = 0;
// One control with its label and what is said below it.
function framed(spec, control, note, large) {
  const id = control.id = `field-${++fieldCount}`;
  control.setAttribute("aria-describedby", `${id}-note`);
  return h("div", { class: large ? "field large" : "field" }, h("label", { for: id }, spec.name), control, h("small", { id: `${id}-note` }, note));
}

function plainField(spec) {
  const control = h("input", { type: "text", inputmode: isText(spec) ? null : isWhole(spec) ? "numeric" : "decimal", autocomplete: "off", spellcheck: "false" });
  return {
    element: framed(spec, control, `${isText(spec) ? "text" : isWhole(spec) ? "whole number" : "number"}; empty: no value`),
    put: value => { control.value = value === undefined ? "" : shown(spec, value); },
    get: () => isText(spec) ? control.value : number(spec, control.value, control),
  };
}

function boolField(spec) {
  const control = h("select", {}, h("option", {}, "false"), h("option", {}, "true"));
  return { element: framed(spec, control, "true or false"), put: value => { control.value = String(value || false); }, get: () => control.value === "true" };
}

function listField(spec, size) {
  const control = h("textarea", { spellcheck: "false" });
  const split = text => isText(spec) ? text.split("\n") : text.split(/[\s,;]+/).filter(Boolean);
  return {
    element: framed(spec, control, `${size === null ? "any number of" : size} ${isText(spec) ? "texts, one a line" : "numbers, between blanks or commas"}; empty: no value`, size === null || size > 4),
    put: value => { control.value = value === undefined ? Array(size || 0).fill(isText(spec) ? "" : "0").join(isText(spec) ? "\n" : " ") : value.map(each => isText(spec) ? each : each instanceof Exact ? each.text : String(each)).join(isText(spec) ? "\n" : " "); },
    get: () => {
      if (!control.value.trim()) return Array(size || 0).fill(missing(spec));
      const values = split(control.value).map(each => isText(spec) ? each : number(spec, each, control));
      if (size !== null && values.length !== size) throw new Wrong(`${spec.name}: ${values.length} values; it takes ${size}`, control);
      return values;
    },
  };
}

function jsonField(spec, sizes) {
  const control = h("textarea", { spellcheck: "false" });
  const zeros = ([size, ...rest]) => size === undefined ? (isText(spec) ? "" : 0) : Array(size || 1).fill(zeros(rest));
  return {
    element: framed(spec, control, `JSON: ${spec.dtype}, ${spec.shape ? `lists of ${sizes.map(size => size ?? "any number").join(" × ")}` : "of any shape"}`, true),
    put: value => { control.value = written(value === undefined ? zeros(sizes) : value); },
    get: () => { try { return parsed(control.value); } catch { throw new Wrong(`${spec.name}: no JSON`, control); } },
  };
}

// Where a file is chosen, or dropped.
function dropBox(spec, note, preview, more, take) {
  const control = h("input", { type: "file", accept: "image/*", onchange: () => control.files[0] && take(control.files[0]) });
  const framing = framed(spec, control, note, true);
  const box = h("div", { class: "drop" }, preview, h("div", {}, ...framing.childNodes, more));
  framing.append(box);
  box.addEventListener("dragover", event => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", event => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  return framing;
}

function fileField(spec) {
  const preview = h("img", { alt: "", hidden: true });
  const about = h("small", { role: "status" });
  let bytes = "";
  const show = (value, said) => {
    bytes = value;
    const type = imageType(value);
    preview.hidden = !type;
    preview.alt = type ? `the image of ${spec.name}` : "";
    if (type) preview.src = `data:image/${type};base64,${value.b64}`;
    about.textContent = said;
  };
  const element = dropBox(spec, "a file's bytes: choose one, or drop it here; without: no value", preview, about, file => {
    const reader = new FileReader();
    reader.onload = () => show({ b64: reader.result.slice(reader.result.indexOf(",") + 1) }, `${file.name}, ${file.size} bytes`);
    reader.readAsDataURL(file);
  });
  return {
    element,
    put: value => show(value ?? "", value ? "the example's bytes" : "no file yet"),
    get: () => bytes,
  };
}

function tensorField(spec, [height, width, channels], first) {
  const canvas = h("canvas", { role: "img", "aria-label": `the image of ${spec.name}`, width: width || 8, height: height || 8 });
  const scale = h("select", { "aria-label": `scale of ${spec.name}` }, h("option", { value: 255 }, "0 to 255"), h("option", { value: 1 }, "0 to 1"));
  const depth = channels || 1;
  const flat = values => values.flat(Infinity).map(Number);
  if (isWhole(spec) || first && flat(first).some(each => each > 1)) scale.value = "255"; else if (first) scale.value = "1";
  let values = [];
  const draw = () => {
    [canvas.height, canvas.width] = [values.length, values[0].length];
    const pixels = canvas.getContext("2d").createImageData(canvas.width, canvas.height);
    values.flat().forEach((pixel, place) => {
      const parts = [pixel].flat().map(each => each * 255 / scale.value);
      pixels.data.set([parts[0], parts[1] ?? parts[0], parts[2] ?? parts[0], parts[3] ?? 255], place * 4);
    });
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  };
  const take = async file => {
    const control = element.querySelector("input");
    try {
      const bitmap = await createImageBitmap(file);
      const shrink = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
      [canvas.width, canvas.height] = [width || Math.round(bitmap.width * shrink), height || Math.round(bitmap.height * shrink)];
      const context = canvas.getContext("2d");
      context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      const scaled = value => isWhole(spec) ? Math.round(value * scale.value / 255) : Number((value * scale.value / 255).toPrecision(6));
      values = Array.from({ length: canvas.height }, (_, y) => Array.from({ length: canvas.width }, (_, x) => {
        const pixel = Array.from(data.slice((y * canvas.width + x) * 4, (y * canvas.width + x) * 4 + 4));
        const grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        if (!channels) return scaled(grey);
        return depth === 1 ? [scaled(grey)] : pixel.slice(0, depth).map(scaled);
      }));
      control.removeAttribute("aria-invalid");
      draw();
    } catch { say(`${spec.name}: ${file.name} is no image that this browser can read`, control); }
  };
  scale.addEventListener("change", () => values.length && draw());
  const sizes = `${height ?? "any"} × ${width ?? "any"}${channels ? ` × ${channels}` : ""}`;
  const element = dropBox(spec, `an image, made ${sizes} ${spec.dtype}: choose a file, or drop it here`, canvas, h("label", {}, "values ", scale), take);
  return {
    element,
    put: value => {
      const zero = channels ? Array(depth).fill(0) : 0;
      values = value ?? Array.from({ length: height || 8 }, () => Array(width || 8).fill(zero));
      draw();
    },
    get: () => values,
  };
}
