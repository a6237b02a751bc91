// The keys: / ? j k x r d Enter, and g with the letter of a page.

const GO_MS = 1500;

let goUntil = 0;

const rows = () => [...document.querySelectorAll("[data-row]")];
const current = () => document.querySelector("[data-row].current");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  current()?.classList.remove("current");
  next.classList.add("current");
  next.querySelector("a, button, input")?.focus();
  next.scrollIntoView({ block: "nearest" });
}

function press(name) {
  const place = current()?.querySelector(`[data-key="${name}"]`) ?? document.querySelector(`main [data-key="${name}"]`);
  place?.click();
  return Boolean(place);
}

const ACTIONS = {
  "/": () => document.querySelector("[data-find]")?.focus(),
  "?": () => document.getElementById("keys").showModal(),
  j: () => move(1),
  k: () => move(-1),
  x: () => current()?.querySelector("input[type=checkbox]")?.click(),
  r: () => press("r"),
  d: () => press("d"),
  g: () => { goUntil = Date.now() + GO_MS; },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
  if (Date.now() < goUntil) {
    goUntil = 0;
    const page = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (page) {
      event.preventDefault();
      page.click();
      return;
    }
  }
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

export function listenToKeys() {
  document.addEventListener("keydown", onKey);
}
