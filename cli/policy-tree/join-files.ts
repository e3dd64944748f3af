import type { DescMessage } from "@bufbuild/protobuf";
import type { Entry, ListNode, MapNode, Node } from "./node.ts";

/**
 * Lists whose items of the same id, from several files, are one thing together, with the lists below them. "apart": items of the same id stay
 * two things.
 */
interface MergedLists {
  readonly [name: string]: MergedLists | "apart";
}

/** The tree of tenants is written by many people: those of an organisation, of its teams. An app is said in one place. */
const MERGED: MergedLists = { organisations: { teams: { apps: "apart" } } };

/**
 * Joins the contents of several files into one: lists follow each other in the order of the files, and parts of an organisation or of a team
 * become one. Anything else that two files give stays there twice, for its reader to report.
 */
export function joinFiles(desc: DescMessage, roots: readonly MapNode[]): MapNode {
  const lists = new Set(desc.fields.filter(({ fieldKind }) => fieldKind === "list").map(({ name }) => name));
  const joined: Entry[] = [];
  for (const { entries } of roots) {
    for (const entry of entries) {
      if (lists.has(entry.name) && entry.value.kind === "list") {
        addToList(joined, entry, MERGED[entry.name] ?? "apart");
      } else joined.push(entry);
    }
  }
  return { kind: "map", place: roots[0]?.place ?? { file: "" }, entries: joined };
}

/** Adds a list to the one of the same name, if there is one. */
function addToList(entries: Entry[], entry: Entry, merged: MergedLists | "apart"): void {
  const index = entries.findIndex(({ name, value }) => name === entry.name && value.kind === "list");
  const before = entries[index];
  if (before === undefined) {
    entries.push(entry);
    return;
  }
  const [first, second] = [before.value as ListNode, entry.value as ListNode];
  const items = merged === "apart" ? [...first.items, ...second.items] : mergeItems(first, second, merged);
  entries[index] = { ...before, value: { ...first, items } };
}

function mergeItems(first: ListNode, second: ListNode, merged: MergedLists): Node[] {
  const items = [...first.items];
  const known = new Map<unknown, number>();
  items.forEach((item, index) => {
    const id = readId(item);
    if (id !== undefined && !known.has(id)) known.set(id, index);
  });
  for (const item of second.items) {
    const id = readId(item);
    const index = known.get(id);
    if (id === undefined || index === undefined) items.push(item);
    else {
      items[index] = mergeMaps(items[index] as MapNode, item as MapNode, merged);
      // The same id again in the same file is a slip of the pen: it stays apart, and the check finds it.
      known.delete(id);
    }
  }
  return items;
}

function mergeMaps(first: MapNode, second: MapNode, merged: MergedLists): MapNode {
  const entries = [...first.entries];
  for (const entry of second.entries) {
    const below = merged[entry.name];
    if (below !== undefined && entry.value.kind === "list") addToList(entries, entry, below);
    else if (!entries.some((other) => isSame(other, entry))) entries.push(entry);
  }
  return { ...first, entries };
}

/** Whether two files say the same of a field, so that it need be said once. */
function isSame(a: Entry, b: Entry): boolean {
  return a.name === b.name && a.value.kind === "scalar" && b.value.kind === "scalar" && a.value.value === b.value.value;
}

function readId(node: Node): string | number | boolean | undefined {
  const id = node.kind === "map" ? node.entries.find(({ name }) => name === "id")?.value : undefined;
  return id?.kind === "scalar" ? (id.value ?? undefined) : undefined;
}
