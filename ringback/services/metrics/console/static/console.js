// What makes the pages live. Every page is complete without it.

import { refreshRegions } from "./regions.js";
import { listenToKeys } from "./keys.js";
import { signInByCode } from "./sign_in.js";

const UNITS = [["s", 1, 60], ["min", 60, 60], ["h", 3600, 48], ["days", 86400, Infinity]];

/** "12 s ago", "in 4 min": in one unit, as the terminal writes it. */
function relative(date) {
  const seconds = (Date.now() - date.getTime()) / 1000;
  const size = Math.abs(seconds);
  const [unit, length] = UNITS.find(([, length, most]) => size / length < most);
  // In a narrow column it stays in one line.
  const text = `${Math.floor(size / length)}\xa0${unit}`;
  return seconds < 0 ? `in\xa0${text}` : `${text}\xa0ago`;
}

function showAges(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.dataset.exact ??= time.textContent;
    time.textContent = `${time.dataset.exact} ·\xa0${relative(new Date(time.dateTime))}`;
  }
}

function addCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const place of root.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    const { copy, copyName } = place.dataset;
    button.ariaLabel = `Copy ${copyName ?? copy}`;
    button.addEventListener("click", async () => {
      const here = "copyHere" in place.dataset ? `\n${location.origin}${location.pathname}` : "";
      await navigator.clipboard.writeText(copy + here);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    place.after(button);
  }
}

/** A form in <details data-dialog> opens as a dialog; without this script, in its place. */
function openAsDialogs(root) {
  for (const details of root.querySelectorAll("details[data-dialog]")) {
    const summary = details.querySelector("summary");
    summary.addEventListener("click", (event) => {
      event.preventDefault();
      const dialog = document.createElement("dialog");
      dialog.ariaLabel = summary.textContent;
      dialog.append(details.querySelector("form"));
      dialog.addEventListener("close", () => {
        details.append(...dialog.children);
        dialog.remove();
      });
      document.querySelector("main").append(dialog);
      dialog.showModal();
    });
  }
}

export function enhance(root) {
  showAges(root);
  addCopyButtons(root);
  openAsDialogs(root);
}

enhance(document);
signInByCode();
listenToKeys();
refreshRegions(enhance);
setInterval(() => showAges(document), 10_000);
