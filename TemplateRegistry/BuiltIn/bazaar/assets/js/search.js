// Turns the list of all products into a search. The list may go on at page-2/, page-3/ and so on, which are read when somebody searches.
const list = document.getElementById("search-list");
const field = document.getElementById("search");
const title = document.getElementById("search-title");
const count = document.getElementById("search-count");
const none = document.getElementById("search-none");
const pages = document.getElementById("search-pages");

const MaxShown = 200;
const everything = { title: title.textContent, count: count.textContent, rows: list ? [...list.children] : [] };
let index;

// Capitals, accents and full-width letters make no difference.
const plain = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

async function readPage(number) {
  const address = new URL(number === 1 ? "./" : `page-${number}/`, location.href);
  const response = await fetch(address);
  if (!response.ok)
    throw new Error(`${address} answered ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return [...page.getElementById("search-list").children].map(row => {
    const link = row.querySelector("a");
    // Addresses are relative to the page that they were read from.
    link.href = new URL(link.getAttribute("href"), address).href;
    for (const image of row.querySelectorAll("img"))
      image.src = new URL(image.getAttribute("src"), address).href;
    return { row: document.importNode(row, true), text: plain(`${link.textContent} ${row.querySelector(".row-sku").textContent}`) };
  });
}

async function readIndex() {
  const numbers = Array.from({ length: Number(list.dataset.pages) }, (_, i) => i + 1);
  return (await Promise.all(numbers.map(readPage))).flat();
}

async function show() {
  const query = field.value.trim();
  if (!query) {
    title.textContent = everything.title;
    count.textContent = everything.count;
    list.replaceChildren(...everything.rows);
    pages.hidden = false;
    none.hidden = true;
    return;
  }

  index ??= readIndex();
  let entries;
  try {
    entries = await index;
  } catch {
    // The list stays as it is, and the next key press tries again.
    index = undefined;
    return;
  }
  // Meanwhile something else may have been typed.
  if (field.value.trim() !== query)
    return;
  const words = plain(query).split(/\s+/);
  const found = entries.filter(entry => words.every(word => entry.text.includes(word)));
  title.textContent = `“${query}”`;
  count.textContent = String(found.length);
  list.replaceChildren(...found.slice(0, MaxShown).map(entry => entry.row));
  none.hidden = found.length > 0;
  pages.hidden = true;
}

// Later parts of the list have other relative addresses; a search begins at the first.
if (list && /\/search\/$/.test(location.pathname)) {
  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", () => {
    history.replaceState(null, "", field.value.trim() ? `?q=${encodeURIComponent(field.value.trim())}` : "./");
    show();
  });
  field.form.addEventListener("submit", event => event.preventDefault());
  if (field.value)
    show();
}
