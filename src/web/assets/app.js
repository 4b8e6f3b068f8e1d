// Everything here is a convenience: each page works without it.
"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// A form that is one choice goes off by itself; its button is then in the way.
for (const form of all("form[data-auto]")) {
  one("button", form).hidden = true;
  form.addEventListener("change", () => form.requestSubmit());
}

// What went wrong, or was moved, is where reading begins.
one("main [autofocus]")?.focus();

// Words of one account, and a first comment, count beside their field, each as its network does.
for (const field of all("textarea[data-most]")) {
  const shown = one(".limit-count", field.parentElement);
  const most = Number(field.dataset.most);
  const tell = () => {
    const length = "utf16" in field.dataset ? field.value.length : [...field.value].length;
    shown.textContent = `${length.toLocaleString()} / ${most.toLocaleString()}`;
    shown.classList.toggle("over", length > most);
  };
  field.addEventListener("input", tell);
  tell();
}

const compose = one("#compose");
if (compose) {
  const caption = one("#caption", compose);
  const said = one("#count-said", compose);
  const chosen = () => new Set(all("input[name=target]:checked", compose).map((box) => box.dataset.platform));
  let saying = 0;

  const count = () => {
    const text = caption.value;
    const platforms = chosen();
    const lines = [];
    for (const limit of all(".limits li", compose)) {
      const length = "utf16" in limit.dataset ? text.length : [...text].length;
      const most = Number(limit.dataset.most);
      limit.hidden = platforms.size > 0 && !platforms.has(limit.dataset.platform);
      limit.classList.toggle("over", length > most);
      one(".limit-count", limit).textContent = `${length.toLocaleString()} / ${most.toLocaleString()}`;
      if (!limit.hidden) {
        const name = one(".limit-name", limit).textContent;
        lines.push([name, length, most].reduce((line, part) => line.replace("{}", part), said.dataset.text));
      }
    }
    clearTimeout(saying);
    saying = setTimeout(() => { said.textContent = lines.join(". "); }, 1000);
  };

  // Fields that something else makes needless are out of the way.
  const show = () => {
    for (const part of all("[data-needs]", compose)) {
      part.hidden = !document.getElementById(part.dataset.needs).checked;
      // What is out of sight is not sent.
      for (const field of all("input, select, textarea", part)) field.disabled = part.hidden;
    }
  };

  caption.addEventListener("input", count);
  compose.addEventListener("change", () => { show(); count(); });
  show();
  count();

  // The browser knows its zone; what somebody chose stays.
  if ("fresh" in compose.dataset) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const select = one("#zone", compose);
    if ([...select.options].some((option) => option.value === zone)) select.value = zone;
  }
  if (!one("#date", compose).value && !one("#time", compose).value) {
    const soon = new Date(Date.now() + 3_600_000);
    const two = (n) => String(n).padStart(2, "0");
    one("#date", compose).value = `${soon.getFullYear()}-${two(soon.getMonth() + 1)}-${two(soon.getDate())}`;
    one("#time", compose).value = `${two(soon.getHours())}:00`;
  }

  const size = (bytes) => bytes < 1_048_576 ? `${Math.ceil(bytes / 1024)} kB` : `${(bytes / 1_048_576).toFixed(1)} MB`;

  // A look at what was chosen, before it is sent.
  const list = one("#chosen", compose);
  one("#file", compose).addEventListener("change", (event) => {
    for (const element of all("img, video", list)) URL.revokeObjectURL(element.src);
    list.replaceChildren(...[...event.target.files].map((file) => {
      const item = document.createElement("li");
      const film = file.type.startsWith("video/");
      const look = document.createElement(film ? "video" : "img");
      look.src = URL.createObjectURL(file);
      if (film) { look.controls = true; look.preload = "metadata"; } else { look.alt = file.name; }
      const name = document.createElement("p");
      name.className = "meta";
      const text = document.createElement("span");
      text.dir = "auto";
      text.textContent = `${file.name}, ${size(file.size)}`;
      name.append(text);
      item.append(look, name);
      return item;
    }));
  });

  // A second click changes nothing; this says that the first was heard.
  compose.addEventListener("submit", (event) => {
    const pressed = event.submitter;
    if (pressed?.name === "arrange") return;
    const checks = pressed?.id === "check";
    const button = one(checks ? "#check" : "#send", compose);
    button.setAttribute("aria-busy", "true");
    one("span", button).textContent = checks ? compose.dataset.checking : compose.dataset.sending;
  });
}

// A post under way is looked at again; only what changed is swapped.
const look = async () => {
  const live = one("#live[data-live]");
  if (!live) return;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      const page = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page && one("#live", page);
      if (fresh && fresh.outerHTML !== live.outerHTML) {
        const before = live.dataset.announce;
        live.replaceWith(fresh);
        if (fresh.dataset.announce !== before) one("#announce").textContent = fresh.dataset.announce;
      }
      // what can be done about it changes with it
      const acts = page && one("#acts", page);
      if (acts && acts.outerHTML !== one("#acts").outerHTML) one("#acts").replaceWith(acts);
    } catch {
      // Away for a moment; the next look will tell.
    }
  }
  setTimeout(look, 2000);
};
setTimeout(look, 1500);
