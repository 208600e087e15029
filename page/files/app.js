// The page: images, their masks, corrections, and what is saved of them.

import { open } from "./engines.js";
import * as masks from "./masks.js";
import * as saving from "./saving.js";

const COLORS = ["#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2"]; // Okabe and Ito
const LABELS = {
  area: ["Area", "px", 2],
  area_percent: ["Part of the image", "%", 0],
  box_width: ["Width", "px", 1],
  box_height: ["Height", "px", 1],
  perimeter: ["Perimeter", "px", 1],
  components: ["Separate areas", "", 0],
  asymmetry: ["Asymmetry (0 to 1)", "", 0],
  border_irregularity: ["Border irregularity (disc: 1)", "", 0],
  mean_confidence: ["Mean confidence", "", 0],
  predicted_jaccard: ["Predicted Jaccard (0 to 1)", "", 0],
};
const HIDDEN = ["left", "top"];
const $ = (id) => document.getElementById(id);

let engine;
let about;
const items = [];
let current = null;
let active = 0; // number of the class that is drawn and measured
let tool = "move";
let view = { scale: 1, x: 0, y: 0 }; // image pixels → canvas pixels
let cursor = null; // [x, y] in image pixels, of the brush
let drawing = null; // the action that is being drawn
let scheduled = false;

// === Images ===

function add(files) {
  const pictures = [...files].filter((file) => file.size);
  if (!pictures.length) return;
  $("empty").hidden = true;
  $("work").hidden = false;
  for (const file of pictures) {
    const item = {
      file,
      name: unused(file.name || "pasted.png"),
      state: "waiting",
      thresholds: [...about.thresholds],
      clean: about.clean,
      visible: about.classes.map(() => true),
      actions: [],
      undone: [],
    };
    items.push(item);
    item.element = listed(item);
  }
  if (!current) select(items[0]);
  work();
}

function unused(name) {
  const taken = new Set(items.map((item) => stem(item.name)));
  const dot = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
  for (let i = 1; ; i++) {
    const tried = i === 1 ? name : `${name.slice(0, dot)}_${i}${name.slice(dot)}`;
    if (!taken.has(stem(tried))) return tried;
  }
}

const stem = (name) => name.replace(/\.[^.]+$/, "");

function listed(item) {
  const element = document.createElement("div");
  element.className = "item";
  element.setAttribute("role", "option");
  element.append(document.createElement("canvas"), document.createElement("span"), document.createElement("small"));
  element.children[1].textContent = item.name;
  element.title = item.name;
  element.addEventListener("click", () => select(item));
  $("list").append(element);
  return element;
}

function say(item, text, bad = false) {
  item.element.children[2].textContent = text;
  item.element.classList.toggle("bad", bad);
}

let working = false;

async function work() {
  if (working) return;
  working = true;
  for (let item; (item = items.find((each) => each.state === "waiting")); ) {
    item.state = "working";
    say(item, "working …");
    items.filter((each) => each.state === "waiting").forEach((each) => say(each, "waiting"));
    if (item === current) show();
    try {
      const bitmap = await engine.picture(item.file);
      const found = await engine.predict(item.file, bitmap);
      Object.assign(item, found, { state: "ready" });
      if (bitmap.width !== found.width || bitmap.height !== found.height) {
        throw new Error(`${item.name}: this browser shows it as ${bitmap.width} × ${bitmap.height}, not as it is`);
      }
      thumbnail(item, bitmap);
      if (item === current) item.bitmap = bitmap;
      else bitmap.close();
      say(item, `${found.width} × ${found.height}${found.unusual.length ? " · check" : ""}`, found.unusual.length > 0);
    } catch (problem) {
      item.state = "bad";
      item.error = problem.message;
      say(item, "cannot be read", true);
    }
    if (item === current) await select(item);
  }
  working = false;
  buttons();
}

function thumbnail(item, bitmap) {
  const canvas = item.element.children[0];
  canvas.width = 240;
  canvas.height = Math.max(1, Math.round((240 * bitmap.height) / bitmap.width));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

async function select(item) {
  if (current && current !== item) {
    current.bitmap?.close();
    current.bitmap = null;
    current.masks = null;
  }
  const changed = current !== item;
  current = item;
  items.forEach((each) => each.element.setAttribute("aria-selected", String(each === item)));
  item.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (item.state === "ready") {
    item.bitmap ??= await engine.picture(item.file);
    if (current !== item) return;
    item.masks ??= about.classes.map((_, k) => made(item, k));
    if (changed || !item.shown) fit();
    item.shown = true;
  }
  show();
}

/** The mask of class k of an item: threshold, clean-up, then the corrections. */
function made(item, k) {
  const { map, mapSize, height, width } = item;
  let mask = masks.threshold(map, mapSize, k, height, width, item.thresholds[k]);
  if (item.clean) mask = masks.largest(mask, height, width);
  item.actions.filter((action) => action.k === k).forEach((action) => apply(mask, item, action, 0));
  return mask;
}

function apply(mask, item, { points, radius, erase }, from) {
  const value = erase ? 0 : 1;
  for (let i = Math.max(from, 0); i < points.length; i++) {
    masks.stroke(mask, item.height, item.width, points[Math.max(i - 1, 0)], points[i], radius, value);
  }
}

function remake(k = null) {
  if (!current?.masks) return;
  current.masks = current.masks.map((mask, i) => (k === null || i === k ? made(current, i) : mask));
  redraw();
}

// === Drawing ===

function show() {
  const ready = current?.state === "ready";
  $("message").hidden = ready;
  $("message").classList.toggle("bad", current?.state === "bad");
  $("message").textContent = current?.state === "bad" ? current.error : "Working …";
  classRows();
  $("clean").checked = Boolean(current?.clean);
  redraw();
}

function redraw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    buttons();
    layers();
    paint();
    measured();
  });
}

/** What is drawn over the image: of each visible class its color's tint and its outline, as a path. */
function layers() {
  if (!current?.masks) return;
  const { height, width } = current;
  current.layers = current.masks.map((mask, k) => ({
    label: about.classes[k],
    color: COLORS[k % COLORS.length],
    lines: current.visible[k] ? masks.edges(mask, height, width) : [],
  }));
  current.layers.forEach((layer) => (layer.path = new Path2D(saving.svgPath(layer.lines))));
}

function over(context, layer, width) {
  context.globalAlpha = $("opacity").value / 100;
  context.fillStyle = layer.color;
  context.fill(layer.path, "evenodd");
  context.globalAlpha = 1;
  if (!$("outline").checked) return;
  context.lineJoin = "round";
  context.lineWidth = width * 2;
  context.strokeStyle = "rgba(0, 0, 0, 0.45)";
  context.stroke(layer.path);
  context.lineWidth = width;
  context.strokeStyle = layer.color;
  context.stroke(layer.path);
}

function paint() {
  const canvas = $("canvas");
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth, clientHeight } = canvas;
  canvas.width = Math.round(clientWidth * ratio);
  canvas.height = Math.round(clientHeight * ratio);
  if (!current?.bitmap || !current.layers) return;
  const context = canvas.getContext("2d");
  context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
  context.imageSmoothingEnabled = view.scale < 4;
  context.imageSmoothingQuality = "high";
  context.drawImage(current.bitmap, 0, 0);
  current.layers.forEach((layer) => over(context, layer, 2 / view.scale));
  if (cursor && tool !== "move") {
    context.beginPath();
    context.arc(...cursor, radius(), 0, 2 * Math.PI);
    context.lineWidth = 3 / view.scale;
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    context.stroke();
    context.lineWidth = 1.5 / view.scale;
    context.strokeStyle = "#ffffff";
    context.stroke();
  }
}

function fit() {
  const { clientWidth, clientHeight } = $("canvas");
  const { width, height } = current;
  const scale = Math.min(clientWidth / width, clientHeight / height);
  view = { scale, x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2 };
  cursor = null;
}

function zoom(factor, x = $("canvas").clientWidth / 2, y = $("canvas").clientHeight / 2) {
  if (!current?.masks) return;
  const scale = Math.min(64, Math.max(0.02, view.scale * factor));
  view = { scale, x: x - ((x - view.x) * scale) / view.scale, y: y - ((y - view.y) * scale) / view.scale };
  paint();
}

/** Of the brush, in pixels of the image. */
const radius = () => Math.max(0.5, ((Math.max(current.width, current.height) / 8) * ($("radius").value / 100) ** 2));

// === Panel ===

function classRows() {
  const rows = $("classes");
  const many = about.classes.length > 1;
  rows.replaceChildren(heading("Mask"));
  about.classes.forEach((label, k) => {
    const row = document.createElement("div");
    row.className = `class${many && k === active ? " active" : ""}`;
    row.style.setProperty("--color", COLORS[k % COLORS.length]);
    const head = document.createElement("div");
    head.className = "head";
    const check = document.createElement("label");
    check.className = "check";
    const shown = document.createElement("input");
    shown.type = "checkbox";
    shown.checked = current ? current.visible[k] : true;
    shown.addEventListener("change", () => {
      current.visible[k] = shown.checked;
      redraw();
    });
    check.append(shown, label.replaceAll("_", " "));
    head.append(check);
    if (many) {
      const chosen = button(k === active ? "selected" : "select", () => {
        active = k;
        show();
      });
      chosen.setAttribute("aria-pressed", String(k === active));
      chosen.title = "Correct and measure this one";
      head.append(chosen);
    }
    row.append(head, slider(k));
    rows.append(row);
  });
}

function heading(text) {
  const element = document.createElement("h2");
  element.textContent = text;
  return element;
}

function button(text, work) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", work);
  return element;
}

function slider(k) {
  const line = document.createElement("label");
  line.className = "line";
  const name = document.createElement("span");
  name.textContent = "Threshold";
  const input = Object.assign(document.createElement("input"), { type: "range", min: 0.01, max: 0.99, step: 0.01 });
  input.dataset.threshold = k;
  input.value = current ? current.thresholds[k] : about.thresholds[k];
  input.setAttribute("aria-label", `Threshold of ${about.classes[k].replaceAll("_", " ")}`);
  const output = document.createElement("output");
  output.textContent = Number(input.value).toFixed(2);
  input.addEventListener("input", () => {
    output.textContent = Number(input.value).toFixed(2);
    current.thresholds[k] = Number(input.value);
    remake(k);
  });
  line.append(name, input, output);
  return line;
}

function measure(item, k, mask) {
  const found = masks.measure(mask, item.height, item.width, item.map, item.mapSize, k, about.temperatures[k]);
  const own = Object.keys(found);
  const further = Object.entries(item.further[k] ?? {}).filter(([name]) => !own.includes(name));
  return { ...found, ...(moved(item, k) ? {} : Object.fromEntries(further)) }; // they are those of the mask as it was found
}

const corrected = (item, k) => item.actions.some((action) => action.k === k);

/** Whether class k's mask is another than was found. */
const moved = (item, k) => corrected(item, k) || item.thresholds[k] !== about.thresholds[k] || item.clean !== about.clean;

/** Why an image is unusual; of its mask as it was found only while it is the one. */
const unusual = (item) =>
  item.unusual.filter((reason) => !about.reasons_of_mask.includes(reason) || !about.classes.some((_, k) => moved(item, k)));

const perMillimeter = () => {
  const value = Number($("scale").value);
  return value > 0 ? value : null;
};

function measured() {
  const table = $("measures");
  table.replaceChildren();
  const reasons = current?.state === "ready" ? unusual(current) : [];
  $("unusual").hidden = !reasons.length;
  $("unusual").textContent = `Check this mask: ${reasons.join("; ")}.`;
  if (!current?.masks || drawing) return;
  const scale = perMillimeter();
  for (const [name, value] of Object.entries(measure(current, active, current.masks[active]))) {
    if (HIDDEN.includes(name)) continue;
    const [label, unit, power] = LABELS[name] ?? [name.replaceAll("_", " "), "", 0];
    const row = table.insertRow();
    row.insertCell().textContent = label.charAt(0).toUpperCase() + label.slice(1);
    row.insertCell().textContent = written(value, unit, power, scale);
    row.dataset.measure = name;
  }
}

function written(value, unit, power, scale) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (power && scale) return `${(value / scale ** power).toFixed(2)} ${power === 2 ? "mm²" : "mm"}`;
  if (unit === "px") return `${Math.round(value).toLocaleString("en")} px`;
  if (unit === "%") return `${value.toFixed(1)} %`;
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

function buttons() {
  const ready = Boolean(current?.masks);
  document.querySelectorAll("[data-save]").forEach((each) => (each.disabled = !ready || working));
  $("undo").disabled = !current?.actions.length;
  $("redo").disabled = !current?.undone.length;
}

// === Correction ===

function begin(point) {
  if (!current?.masks) return;
  drawing = { k: active, erase: tool === "eraser", radius: radius(), points: [] };
  extend(point);
}

function extend(point) {
  drawing.points.push(point);
  apply(current.masks[drawing.k], current, drawing, drawing.points.length - 1);
  redraw();
}

function end() {
  if (!drawing) return;
  current.actions.push(drawing);
  current.undone = [];
  drawing = null;
  redraw();
}

function undo() {
  if (!current?.actions.length) return;
  current.undone.push(current.actions.pop());
  remake(current.undone.at(-1).k);
}

function redo() {
  if (!current?.undone.length) return;
  current.actions.push(current.undone.pop());
  remake(current.actions.at(-1).k);
}

function choose(name) {
  tool = name;
  document.querySelectorAll("[data-tool]").forEach((each) =>
    each.setAttribute("aria-pressed", String(each.dataset.tool === name)));
  $("canvas").style.cursor = name === "move" ? "grab" : "none";
  paint();
}

// === Saving ===

function save(bytes, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(bytes instanceof Blob ? bytes : new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** An item with its masks and measures, for what is saved. */
function whole(item) {
  const found = (item.masks ?? about.classes.map((_, k) => made(item, k))).map((mask, k) => ({
    label: about.classes[k],
    mask,
    measures: measure(item, k, mask),
  }));
  return { name: item.name, height: item.height, width: item.width, masks: found };
}

const maskName = (item, k) =>
  about.classes.length === 1 ? `${stem(item.name)}_segmentation.png`
    : `${stem(item.name)}_attribute_${about.classes[k]}.png`;

async function overlay(item, drawn) {
  const bitmap = item.bitmap ?? (await engine.picture(item.file));
  const canvas = new OffscreenCanvas(item.width, item.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  if (bitmap !== item.bitmap) bitmap.close();
  for (const layer of drawn) {
    over(context, { ...layer, path: new Path2D(saving.svgPath(layer.lines)) }, Math.max(1, Math.max(item.width, item.height) / 300));
  }
  return new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
}

const drawnOf = (item, data) => data.masks.map(({ label, mask }, k) => ({
  label,
  color: COLORS[k % COLORS.length],
  lines: item.visible[k] ? masks.edges(mask, item.height, item.width) : [],
}));

function tableRows(data, item, header) {
  const scale = perMillimeter();
  const rows = data.masks.map(({ label, measures }, k) => {
    const { area, box_width: wide, box_height: high, perimeter } = measures;
    const row = { image: data.name, class: label, height: data.height, width: data.width, ...measures };
    if (scale) {
      row.area_mm2 = area / scale ** 2;
      row.box_width_mm = wide === null ? null : wide / scale;
      row.box_height_mm = high === null ? null : high / scale;
      row.perimeter_mm = perimeter / scale;
    }
    row.threshold = item.thresholds[k];
    row.corrected = corrected(item, k) ? "yes" : "no";
    row.mask = maskName(item, k);
    row.unusual = unusual(item).join("; ");
    return row;
  });
  rows.forEach((row) => Object.keys(row).forEach((name) => header.add(name)));
  return rows;
}

const table = (rows, header) => saving.csv([[...header], ...rows.map((row) => [...header].map((name) => row[name]))]);

async function saveCurrent(kind) {
  const item = current;
  const data = whole(item);
  const name = stem(item.name);
  if (kind === "mask") {
    if (data.masks.length === 1) return save(await saving.png(data.masks[0].mask, item.height, item.width), maskName(item, 0), "image/png");
    return save(await saving.png(data.masks[active].mask, item.height, item.width), maskName(item, active), "image/png");
  }
  if (kind === "overlay") return save(await overlay(item, drawnOf(item, data)), `${name}_overlay.png`, "image/png");
  if (kind === "svg") return save(saving.svg(item.height, item.width, drawnOf(item, data)), `${name}.svg`, "image/svg+xml");
  if (kind === "coco") return save(saving.coco([data], about.classes), `${name}_coco.json`, "application/json");
  if (kind === "labelme") return save(await saving.labelMe(data), `${name}.json`, "application/json");
}

async function saveAll(kind) {
  const files = {};
  const rows = [];
  const header = new Set();
  const forCoco = [];
  const ready = items.filter((item) => item.state === "ready");
  for (const [i, item] of ready.entries()) {
    $("about").textContent = `Preparing ${i + 1} of ${ready.length} …`;
    const data = whole(item);
    rows.push(...tableRows(data, item, header));
    if (kind === "csv") continue;
    const name = stem(item.name);
    for (const [k, { mask }] of data.masks.entries()) {
      files[maskName(item, k)] = await saving.png(mask, item.height, item.width);
    }
    const drawn = drawnOf(item, data);
    files[`${name}_overlay.png`] = await overlay(item, drawn);
    files[`${name}.svg`] = saving.svg(item.height, item.width, drawn);
    files[`${name}.json`] = await saving.labelMe(data);
    const light = saving.coco([data], about.classes); // run lengths are kept, masks are not
    forCoco.push(JSON.parse(new TextDecoder().decode(light)));
  }
  describe();
  if (kind === "csv") return save(table(rows, header), "predictions.csv", "text/csv");
  files["coco.json"] = joinedCoco(forCoco);
  files["predictions.csv"] = table(rows, header);
  return save(saving.zip(files), "masks.zip");
}

/** COCO files of one image each as one. */
function joinedCoco(parts) {
  const images = parts.map((part, i) => ({ ...part.images[0], id: i + 1 }));
  const annotations = parts.flatMap((part, i) => part.annotations.map((each) => ({ ...each, image_id: i + 1 })));
  annotations.forEach((each, i) => (each.id = i + 1));
  return new TextEncoder().encode(JSON.stringify({ images, categories: parts[0].categories, annotations }));
}

function describe() {
  const place = about.engine === "browser" ? "computed in this browser" : "computed by the program on this computer";
  $("about").textContent = `Network ${about.run}, ${place}. Nothing leaves this computer.`;
}

// === Events ===

function position(event) {
  const bounds = $("canvas").getBoundingClientRect();
  return [event.clientX - bounds.left, event.clientY - bounds.top];
}

const toImage = ([x, y]) => [(x - view.x) / view.scale, (y - view.y) / view.scale];

function pointers() {
  const canvas = $("canvas");
  const held = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, position(event));
    if (held.size === 1 && tool !== "move" && event.button === 0) begin(toImage(position(event)));
    if (held.size === 2) end();
  });
  canvas.addEventListener("pointermove", (event) => {
    const to = position(event);
    cursor = current?.masks ? toImage(to) : null;
    const from = held.get(event.pointerId);
    if (!from) return paint();
    if (held.size === 2) {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoom(spread(to) / spread(from), ...other);
    } else if (drawing) {
      extend(cursor);
    } else {
      view = { ...view, x: view.x + to[0] - from[0], y: view.y + to[1] - from[1] };
      paint();
    }
    held.set(event.pointerId, to);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      held.delete(event.pointerId);
      end();
    });
  }
  canvas.addEventListener("pointerleave", () => {
    cursor = null;
    paint();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...position(event));
  }, { passive: false });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function canvasKeys(event) {
  if (!current?.masks) return;
  const arrow = ARROWS[event.key];
  if (arrow) {
    event.preventDefault();
    const step = event.shiftKey ? 60 : 15; // pixels of the screen
    if (tool === "move") view = { ...view, x: view.x - arrow[0] * step, y: view.y - arrow[1] * step };
    else cursor = (cursor ?? [current.width / 2, current.height / 2]).map((at, i) => at + (arrow[i] * step) / view.scale);
    paint();
  } else if (event.key === " " && tool !== "move") {
    event.preventDefault();
    cursor ??= [current.width / 2, current.height / 2];
    begin(cursor);
    end();
  }
}

function keys(event) {
  if (event.target.matches?.('input[type="number"]') || $("work").hidden) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
    event.preventDefault();
    if (key === "y" || event.shiftKey) redo();
    else undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const works = {
    m: () => choose("move"),
    b: () => choose("brush"),
    e: () => choose("eraser"),
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    0: () => current?.masks && (fit(), paint()),
  };
  works[key]?.();
}

function listKeys(event) {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = items[items.indexOf(current) + step];
  if (next) select(next);
}

function listen() {
  document.querySelectorAll(".choose").forEach((each) => each.addEventListener("click", () => $("files").click()));
  document.querySelectorAll(".camera").forEach((each) => each.addEventListener("click", () => $("shot").click()));
  for (const id of ["files", "shot"]) {
    $(id).addEventListener("change", () => {
      add($(id).files);
      $(id).value = "";
    });
  }
  let depth = 0;
  const dragged = (change) => (event) => {
    event.preventDefault();
    depth = change === 0 ? 0 : depth + change;
    $("over").hidden = depth <= 0;
  };
  addEventListener("dragenter", dragged(1));
  addEventListener("dragleave", dragged(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    dragged(0)(event);
    add(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => add(event.clipboardData.files));
  addEventListener("keydown", keys);
  addEventListener("resize", () => {
    if (current?.masks) fit();
    paint();
  });
  $("canvas").addEventListener("keydown", canvasKeys);
  $("list").addEventListener("keydown", listKeys);
  document.querySelectorAll("[data-tool]").forEach((each) =>
    each.addEventListener("click", () => choose(each.dataset.tool)));
  $("undo").addEventListener("click", undo);
  $("redo").addEventListener("click", redo);
  $("in").addEventListener("click", () => zoom(1.25));
  $("out").addEventListener("click", () => zoom(0.8));
  $("fit").addEventListener("click", () => current?.masks && (fit(), paint()));
  $("radius").addEventListener("input", paint);
  $("opacity").addEventListener("input", () => {
    $("opacity-value").textContent = `${$("opacity").value} %`;
    paint();
  });
  $("outline").addEventListener("change", paint);
  $("scale").addEventListener("input", measured);
  $("clean").addEventListener("change", () => {
    current.clean = $("clean").checked;
    remake();
  });
  document.querySelectorAll("[data-save]").forEach((each) => each.addEventListener("click", async () => {
    const kind = each.dataset.save;
    each.disabled = true;
    try {
      await (kind === "zip" || kind === "csv" ? saveAll(kind) : saveCurrent(kind));
    } catch (problem) {
      $("about").textContent = `Could not be saved: ${problem.message}`;
    }
    buttons();
  }));
  pointers();
}

async function start() {
  try {
    engine = await open();
  } catch (problem) {
    $("network").textContent = `The network could not be loaded (${problem.message}). Load the page again.`;
    return;
  }
  about = engine.about;
  if (about.engine === "browser") $("formats").textContent = "JPEG, PNG, BMP or WebP, of any size, one or many";
  describe();
  $("network").textContent = "Ready.";
  listen();
  document.body.dataset.ready = "yes";
}

start();
