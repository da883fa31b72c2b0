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
