const specs = JSON.parse(document.getElementById("specs").textContent);
const timelines = JSON.parse(document.getElementById("timelines").textContent);
const ERRORS_ONLY = 1;
const options = { renderer: "svg", actions: false, ast: true, mode: "vega-lite", logLevel: ERRORS_ONLY };

for (const id of ["scatter-time", "scatter-downtime", "policies-picture", "doses-picture"]) {
  if (specs[id]) vegaEmbed(document.getElementById(id), specs[id], options);
}

const place = document.getElementById("trial-axis");
const chooser = document.getElementById("chooser");
const readout = document.getElementById("readout");
const stretches = [...document.querySelectorAll("input[name=stretch]")];
const LEFT = 56;
let view = null;
let rows = [];
let at = -1;
let panelWidth = 0;

const ABSENT = {
  delay: ["delay_mid", "no probe was answered"],
  loss: ["loss", "no probe was sent"],
  goodput: ["goodput_high", "not recorded in this trial"],
  buffer: ["buffer", "no player in this scenario"],
  link: ["link", "not recorded in this trial"],
};
const disturbed = (name) => name.startsWith("disturbed: ");
const lane = (name) => (name === "switchover" || name === "VM paused" || disturbed(name) ? 2 : 1);
const shade = (name) => (disturbed(name) ? "disturbed" : name);
const seconds = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)} s`;

function chosen() {
  const trial = timelines[chooser.value];
  const stretch = stretches.find((input) => input.checked).value;
  return { trial, part: trial[stretch] || trial.whole };
}

/* The bands' names, as far as each has room up to where the next begins. */
function named(bands, from, until) {
  const room = (text) => (7 * text.length + 10) * ((until - from) / panelWidth);
  const pause = bands.find((band) => band.name === "VM paused");
  const names = [];
  let free = until;
  if (pause) {
    const name = `paused ${Math.round(1000 * (pause.until - pause.from))} ms`;
    if (pause.from >= from && pause.until + room(name) < until) names.push({ name, at: pause.until, lane: 2 });
    free = pause.from;
  }
  for (const band of bands.filter((one) => one !== pause)) {
    const at = Math.max(band.from, from);
    const end = Math.min(band.until, until, band.lane === 2 ? free : until);
    if (end - at > room(band.name)) names.push({ name: band.name, at, lane: band.lane });
  }
  return names;
}

function fill() {
  const { trial, part } = chosen();
  stretches[1].disabled = !trial.switchover;
  if (!trial.switchover) stretches[0].checked = true;
  const names = Object.keys(part.columns);
  const count = Math.max(...names.map((name) => part.columns[name].length));
  rows = Array.from({ length: count }, (_, index) => {
    const row = { t: part.start + (index + 0.5) * part.step };
    for (const name of names) row[name] = part.columns[name][index] ?? null;
    row.goodput_low ??= row.goodput_high;
    return row;
  });
  const from = part.start;
  const until = part.start + count * part.step;
  const bands = trial.bands.map(([name, start, end]) => ({
    name, from: start, until: end, lane: lane(name), shade: shade(name),
  }));
  const missing = Object.entries(ABSENT)
    .filter(([, [column]]) => !part.columns[column].length)
    .map(([name, [, why]]) => ({ name, why }));
  document.getElementById("marks").textContent = trial.marks.map(([name, when]) => `${name} ${seconds(when)}`).join(" · ");
  view
    .signal("from", from)
    .signal("until", until)
    .data("bins", rows)
    .data("bands", bands)
    .data("names", named(bands, from, until))
    .data("marks", trial.marks.map(([name, when]) => ({ name, at: when })))
    .data("missing", missing)
    .resize();
  point(-1);
}

const number = (value) => (value === null || value === undefined ? "—" : String(Number(value.toPrecision(3))));
const quantity = (value, unit) => (number(value) === "—" ? "—" : `${number(value)} ${unit}`);

function point(index) {
  at = index;
  const row = rows[index];
  view.data("cursor_at", row ? [{ t: row.t }] : []).runAsync();
  if (!row) {
    readout.textContent = "Point at the chart, or focus it and use the arrow keys, to read the values of one moment.";
    return;
  }
  const told = [
    ["time", seconds(row.t)],
    ["delay", quantity(row.delay_mid, `ms (${number(row.delay_low)} to ${number(row.delay_high)})`)],
    ["loss", quantity(row.loss, "%")],
    ["throughput", quantity(row.goodput_high, "Mbit/s")],
    ["buffer", quantity(row.buffer, "s")],
    ["round", number(row.rounds)],
    ["link", quantity(row.link, "Mbit/s")],
  ];
  readout.replaceChildren(
    ...told.map(([name, value]) => {
      const item = document.createElement("span");
      const strong = document.createElement("b");
      strong.textContent = value;
      item.append(name, strong);
      return item;
    }),
  );
}

async function draw() {
  const spec = structuredClone(specs["trial-axis"]);
  panelWidth = Math.max(200, place.clientWidth - LEFT - 16);
  for (const panel of spec.vconcat) panel.width = panelWidth;
  const kept = at;
  view = (await vegaEmbed(place, spec, options)).view;
  fill();
  if (kept >= 0) point(kept);
  view.addEventListener("pointermove", (event) => {
    const box = place.querySelector("svg").getBoundingClientRect();
    const from = view.origin()[0];
    const when = view.scale("x").invert(event.clientX - box.left - from - view.padding().left);
    const step = rows.length > 1 ? rows[1].t - rows[0].t : 1;
    const index = Math.round((when - rows[0].t) / step);
    if (index >= 0 && index < rows.length) point(index);
  });
}

function layers() {
  for (const one of document.querySelectorAll("[data-layers]")) one.hidden = one.dataset.layers !== chooser.value;
}

if (specs["trial-axis"]) {
  layers();
  chooser.addEventListener("change", layers);
  await draw();
  chooser.addEventListener("change", fill);
  for (const link of document.querySelectorAll("[data-trial]")) {
    link.addEventListener("click", () => {
      chooser.value = link.dataset.trial;
      chooser.dispatchEvent(new Event("change"));
    });
  }
  for (const input of stretches) input.addEventListener("change", fill);
  place.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -rows.length, End: rows.length };
    if (!(event.key in moves)) return;
    event.preventDefault();
    point(Math.min(rows.length - 1, Math.max(0, (at < 0 ? 0 : at) + moves[event.key])));
  });
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(place.clientWidth - width) < 8) return;
    width = place.clientWidth;
    draw();
  }).observe(place);
  document.documentElement.dataset.drawn = "yes";
}
