// Soft targets: a slider from T = 0.5 to 32, even in the logarithm.
const place = (id) => document.getElementById(id);
const { labels, targets, logits } = JSON.parse(place("data").textContent).samples;
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
  const columns = place("targets");
  columns.replaceChildren();
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
      row.className = index === targets[chosen] ? "target label" : "target";
      const name = document.createElement("span");
      name.textContent = labels[index];
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
    columns.append(column);
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
  place("chosen").alt = labels[targets[index]];
  place("chosen-label").textContent = "label: " + labels[targets[index]];
  showTargets();
}
thumbs.forEach((thumb, index) => thumb.addEventListener("click", () => choose(index)));
slider.addEventListener("input", showTargets);
if (thumbs.length) choose(0);
