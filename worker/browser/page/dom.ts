/** @throws Error when the page lacks it */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Gives the visitor a file. */
export function download(name: string, content: BlobPart): void {
  const href = URL.createObjectURL(new Blob([content]));
  element("a", { href, download: name }).click();
  URL.revokeObjectURL(href);
}
