/** The visitor's texts, kept in this browser from visit to visit. */

export interface Turn {
  /** whether the visitor wrote it. */
  readonly given: boolean;
  text: string;
}

export interface StoredText {
  readonly id: string;
  readonly mode: "write" | "chat";
  /** package id. */
  model: string;
  readonly turns: Turn[];
  /** of the session, where there is one. */
  state?: Uint8Array<ArrayBuffer>;
  changed: number;
}

const STORE = "texts";

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open("mamba-edge-playground", 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
  return settled(request);
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  return (await open()).transaction(STORE, mode).objectStore(STORE);
}

/** The newest last. */
export async function storedTexts(): Promise<StoredText[]> {
  const all = (await settled((await store("readonly")).getAll())) as StoredText[];
  return all.sort((a, b) => a.changed - b.changed);
}

export async function keepText(text: StoredText): Promise<void> {
  await settled((await store("readwrite")).put(text));
}
