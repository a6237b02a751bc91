// Takes the one-time code out of the address, so that no history keeps it, and signs in with it.

function takeCode() {
  const form = document.querySelector("form[data-sign-in]");
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!form || !code) return;
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.namedItem("code").value = code;
  // Somebody who is signed in may not have asked for this code: then a click decides.
  if (!("signedIn" in form.dataset)) form.requestSubmit();
}

export function signInByCode() {
  takeCode();
  addEventListener("hashchange", takeCode);
}
