const data = JSON.parse(document.getElementById("data").textContent);
const place = (id) => document.getElementById(id);

// Charts, in the colours of the page; drawn again when the system changes between light and dark.
const theme = window.matchMedia("(prefers-color-scheme: dark)");
function drawCharts() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axis = { gridColor: line, domainColor: soft, tickColor: soft, labelColor: soft, titleColor: soft };
  for (const [id, specification] of Object.entries(data.charts)) {
    const { config } = specification;
    const coloured = { ...config, axis: { ...config.axis, ...axis }, legend: { labelColor: ink, titleColor: ink, symbolBaseFillColor: ink, symbolBaseStrokeColor: ink }, text: { color: ink } };
    window.draw("#" + id, { ...specification, config: coloured }).catch((error) => {
      place(id).textContent = "This chart cannot be drawn: " + error;
    });
  }
}
theme.addEventListener("change", drawCharts);
drawCharts();

// The table of devices: sorted by a heading, and saved as CSV.
const table = place("metrics");
const body = table.tBodies[0];
for (const button of table.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value;
    const order = (one, two) => {
      if (value(one) === "" || value(two) === "") return (value(one) === "") - (value(two) === "");
      const [first, second] = [Number(value(one)), Number(value(two))];
      const sign = Number.isNaN(first - second) ? value(one).localeCompare(value(two)) : first - second;
      return up ? sign : -sign;
    };
    body.append(...[...body.rows].sort(order));
  });
}
place("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(data.csv);
  link.download = table.dataset.name + ".csv";
  link.click();
});

// Soft targets: a slider from T = 0.5 to 32, even in the logarithm.
const { classes, labels, logits } = data.samples;
const slider = place("temperature");
const thumbs = [...document.querySelectorAll(".thumb")];
let chosen = 0;
const temperature = () => 0.5 * 64 ** Number(slider.value);
function softmax(values, t) {
  const top = Math.max(...values);
  const powers = values.map((value) => Math.exp((value - top) / t));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
const percent = (share) => (100 * share).toFixed(1) + " %";
function showTargets() {
  const t = temperature();
  place("temperature-shown").textContent = "T = " + t.toPrecision(2);
  slider.setAttribute("aria-valuetext", t.toPrecision(2));
  const targets = place("targets");
  targets.replaceChildren();
  const soft = {};
  for (const [who, all] of Object.entries(logits)) {
    soft[who] = softmax(all[chosen], t);
    const column = document.createElement("div");
    const title = document.createElement("h3");
    title.textContent = who;
    column.append(title);
    const order = soft[who].map((share, index) => [share, index]).sort((one, two) => two[0] - one[0]).slice(0, 8);
    for (const [share, index] of order) {
      const row = document.createElement("div");
      row.className = index === labels[chosen] ? "target label" : "target";
      const name = document.createElement("span");
      name.textContent = classes[index];
      const bar = document.createElement("div");
      bar.className = "bar";
      const fill = document.createElement("i");
      fill.style.width = 100 * share + "%";
      bar.append(fill);
      const shown = document.createElement("span");
      shown.textContent = percent(share);
      row.append(name, bar, shown);
      column.append(row);
    }
    targets.append(column);
  }
  const teacher = soft.teacher;
  const dark = 1 - Math.max(...teacher);
  const gap = (student) => teacher.reduce((sum, p, i) => sum + (p > 0 ? p * Math.log(p / Math.max(student[i], 1e-30)) : 0), 0);
  const gaps = Object.keys(soft).filter((who) => who !== "teacher").map((who) => `${who} ${gap(soft[who]).toFixed(3)}`);
  place("dark-knowledge").textContent =
    `${percent(dark)} of the teacher's probability is dark knowledge here. Distance to the teacher (KL, nats): ${gaps.join(", ")}.`;
}
function choose(index) {
  chosen = index;
  thumbs.forEach((thumb, other) => thumb.setAttribute("aria-pressed", String(other === index)));
  place("chosen").src = thumbs[index].querySelector("img").src;
  place("chosen").alt = classes[labels[index]];
  place("chosen-label").textContent = "label: " + classes[labels[index]];
  showTargets();
}
thumbs.forEach((thumb, index) => thumb.addEventListener("click", () => choose(index)));
slider.addEventListener("input", showTargets);
if (thumbs.length) choose(0);
