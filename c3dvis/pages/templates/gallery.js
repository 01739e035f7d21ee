// Finds, sorts, and shows the Python that makes a clip.
const units = [...document.querySelectorAll(".unit")];
const find = document.querySelector(".find"), sort = document.querySelector(".sort");
const dialog = document.querySelector("dialog");

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("main > section")) {
    const title = section.querySelector("h2").textContent;
    let any = false;
    for (const unit of section.querySelectorAll(".unit")) {
      const text = `${title} ${unit.id} ${unit.textContent}`.toLowerCase();
      unit.hidden = !words.every((word) => text.includes(word));
      any ||= !unit.hidden;
    }
    section.hidden = !any;
  }
}
function order() {
  // `units` itself is in the order of the numbers; what has no value comes last.
  const value = (unit) => Number(unit.dataset[sort.value] ?? -1e300);
  const sorted = sort.value === "channel" ? units : [...units].sort((a, b) => value(b) - value(a));
  for (const unit of sorted) unit.parentElement.append(unit);
}
function keep(replace) {
  const choice = new URLSearchParams();
  if (find.value) choice.set("find", find.value);
  if (sort.selectedIndex) choice.set("by", sort.value);
  keepInAddress(choice, replace);
}
function restore() {
  const choice = inAddress();
  find.value = choice.get("find") ?? "";
  const by = choice.get("by");
  sort.value = [...sort.options].some((one) => one.value === by) ? by : sort.options[0].value;
  search();
  order();
}
let typing = false;
find.addEventListener("input", () => { search(); keep(typing); typing = true; });
sort.addEventListener("change", () => { order(); keep(typing = false); });
// A link to a unit or layer leaves what is found and its order as they are.
addEventListener("hashchange", () => {
  typing = false;
  if (!location.hash || location.hash.includes("?")) restore();
});
if (location.hash.includes("?")) {
  restore();
  document.getElementById(placeInAddress())?.scrollIntoView();
}
// What only this script can do is added by it, which keeps long pages small.
for (const gif of document.querySelectorAll(".gif")) {
  if (!gif.closest("section").dataset.code) continue;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "code", textContent: "Python" });
  button.setAttribute("aria-label", gif.getAttribute("aria-label").replace("GIF", "Python"));
  gif.after(" · ", button);
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest(".code");
  if (!button) return;
  const unit = button.closest(".unit");
  const code = `channel = ${unit.dataset.channel}\n${unit.closest("section").dataset.code}`;
  dialog.querySelector("pre").textContent = code;
  dialog.showModal();
  let said = "Copied.";
  try { await navigator.clipboard.writeText(code); } catch { said = "Please copy it by hand:"; }
  dialog.querySelector(".copied").textContent = said;
});
// While clips are being made; a dialog stays open, and who does not want it unticks it.
const reload = document.querySelector(".reload");
if (reload) setInterval(() => { if (reload.checked && !dialog.open) location.reload(); }, 5000);
for (const element of document.querySelectorAll(".controls")) element.hidden = false;
