const FORMATS: ReadonlyMap<string, string> = new Map([
  ["application/pdf", "pdf"],
  ["text/csv", "csv"],
  ["application/msword", "doc"],
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"],
  ["application/vnd.ms-excel", "xls"],
  ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"],
  ["text/html", "html"],
  ["text/plain", "txt"],
  ["text/markdown", "md"],
]);
const EXTENSIONS: ReadonlySet<string> = new Set(FORMATS.values());
const LONGEST_NAME = 200;

/**
 * Finds what Converse calls the format of a file
 * (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html), by its media type or else by its name.
 */
export function findDocumentFormat(mediaType: string, filename: string): string | undefined {
  const [type = ""] = mediaType.toLowerCase().split(";", 1);
  const format = FORMATS.get(type.trim());
  if (format !== undefined) return format;
  const extension = filename.slice(filename.lastIndexOf(".") + 1).toLowerCase();
  return EXTENSIONS.has(extension) ? extension : undefined;
}

/** Makes names for the documents of one request: Bedrock takes few characters, and no name twice. */
export class DocumentNames {
  readonly #made = new Set<string>();

  /** A name like that of the file, without its extension, which the format says. */
  make(filename: string): string {
    const base =
      filename
        .replace(/\.[A-Za-z0-9]{1,5}$/, "")
        .replaceAll(/[^A-Za-z0-9\s()[\]-]/g, "-")
        .replaceAll(/\s+/g, " ")
        .trim()
        .slice(0, LONGEST_NAME - 8) || "document";
    let name = base;
    for (let number = 2; this.#made.has(name); number += 1) name = `${base} (${number})`;
    this.#made.add(name);
    return name;
  }
}
