// Replaces the regions of the page (data-region) by those of the same page as it is now.

const EVERY_MS = 5000;
const TIMEOUT_MS = 30_000;

let tag = null;

function isBusy() {
  const active = document.activeElement;
  return document.hidden
    || document.querySelector("dialog[open]") !== null
    || Boolean(active && active !== document.body && active.closest("[data-region], input, textarea, select"))
    || (getSelection()?.isCollapsed === false);
}

/** The page as it is now. The browser itself parses it: Trusted Types allow no script to make HTML of a text. */
function load() {
  return new Promise((resolve, reject) => {
    const answer = new XMLHttpRequest();
    answer.open("GET", location.href);
    answer.responseType = "document";
    answer.timeout = TIMEOUT_MS;
    if (tag) answer.setRequestHeader("If-None-Match", tag);
    answer.onload = () => resolve(answer);
    answer.onerror = answer.ontimeout = () => reject(new Error("no answer"));
    answer.send();
  });
}

async function refresh(enhance) {
  const answer = await load();
  if (answer.status === 304) return showAsOf(answer);
  // Another address: a redirect to the sign-in.
  if (answer.status !== 200 || answer.responseURL !== location.href.split("#")[0]) throw new Error(`${answer.status}`);
  const page = answer.response;
  // Somebody may have begun to type or to select meanwhile.
  if (isBusy()) return;
  tag = answer.getResponseHeader("ETag");
  for (const old of document.querySelectorAll("[data-region]")) {
    const fresh = page.querySelector(`[data-region="${CSS.escape(old.dataset.region)}"]`);
    if (!fresh) continue;
    const node = document.importNode(fresh, true);
    enhance(node);
    old.replaceWith(node);
  }
  showAsOf(answer);
}

/** How old the page is: as old as the last answer. */
function showAsOf(answer) {
  for (const time of document.querySelectorAll("[data-as-of] time")) {
    time.dateTime = time.title = new Date(answer.getResponseHeader("Date")).toISOString();
    time.dataset.exact = time.title.slice(0, 19).replace("T", " ");
  }
}

function showFailure(failed) {
  document.querySelector("[data-silent]").hidden = !failed;
  document.querySelector("main").classList.toggle("stale", failed);
}

export function refreshRegions(enhance) {
  if (!document.querySelector("[data-region]")) return;
  const next = () => setTimeout(async () => {
    if (!document.querySelector("[data-region]:not([data-final])")) return;
    if (!isBusy()) {
      try {
        await refresh(enhance);
        showFailure(false);
      } catch {
        showFailure(true);
      }
    }
    next();
  }, EVERY_MS);
  next();
}
