import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";

const SCALARS: Readonly<Partial<Record<FieldDescriptorProto_Type, string>>> = {
  [FieldDescriptorProto_Type.DOUBLE]: "double",
  [FieldDescriptorProto_Type.FLOAT]: "float",
  [FieldDescriptorProto_Type.INT64]: "int64",
  [FieldDescriptorProto_Type.UINT64]: "uint64",
  [FieldDescriptorProto_Type.INT32]: "int32",
  [FieldDescriptorProto_Type.FIXED64]: "fixed64",
  [FieldDescriptorProto_Type.FIXED32]: "fixed32",
  [FieldDescriptorProto_Type.BOOL]: "bool",
  [FieldDescriptorProto_Type.STRING]: "string",
  [FieldDescriptorProto_Type.BYTES]: "bytes",
  [FieldDescriptorProto_Type.UINT32]: "uint32",
  [FieldDescriptorProto_Type.SFIXED32]: "sfixed32",
  [FieldDescriptorProto_Type.SFIXED64]: "sfixed64",
  [FieldDescriptorProto_Type.SINT32]: "sint32",
  [FieldDescriptorProto_Type.SINT64]: "sint64",
};

/**
 * Prints a proto2 file as source text from its descriptor: messages, enums, oneofs, maps, extension ranges and
 * extensions. Use it for a file whose source no installed package ships. Comments, defaults and option values are left
 * out: a compiler that reads the text learns names, numbers and types, nothing else.
 */
export function printFile(file: FileDescriptorProto): string {
  if (file.syntax !== "" && file.syntax !== "proto2") {
    throw new Error(`Cannot print ${file.name}: syntax is "${file.syntax}", should be "proto2"`);
  }
  const lines = [`syntax = "proto2";`, "", `package ${file.package};`, ""];
  for (const dependency of file.dependency) lines.push(`import "${dependency}";`);
  for (const message of file.messageType) lines.push("", ...printMessage(message, ""));
  for (const enumeration of file.enumType) lines.push("", ...printEnum(enumeration, ""));
  lines.push(...printExtensions(file.extension, ""));
  return `${lines.join("\n")}\n`;
}

function printMessage(message: DescriptorProto, indent: string): string[] {
  const inner = `${indent}  `;
  const lines = [`${indent}message ${message.name} {`];
  for (const nested of message.nestedType) {
    if (!nested.options?.mapEntry) lines.push(...printMessage(nested, inner));
  }
  for (const enumeration of message.enumType) lines.push(...printEnum(enumeration, inner));
  for (const field of message.field) {
    if (!isInOneof(field)) lines.push(printField(field, message, inner));
  }
  message.oneofDecl.forEach((oneof, index) => {
    const members = message.field.filter((field) => isInOneof(field) && field.oneofIndex === index);
    if (members.length === 0) return;
    lines.push(`${inner}oneof ${oneof.name} {`);
    for (const field of members) lines.push(printField(field, message, `${inner}  `));
    lines.push(`${inner}}`);
  });
  // Ends of ranges are exclusive in a descriptor and inclusive in source.
  for (const range of message.reservedRange) lines.push(`${inner}reserved ${range.start} to ${range.end - 1};`);
  for (const name of message.reservedName) lines.push(`${inner}reserved "${name}";`);
  for (const range of message.extensionRange) {
    lines.push(`${inner}extensions ${range.start} to ${range.end > 536_870_911 ? "max" : range.end - 1};`);
  }
  lines.push(...printExtensions(message.extension, inner), `${indent}}`);
  return lines;
}

function printEnum(enumeration: EnumDescriptorProto, indent: string): string[] {
  const lines = [`${indent}enum ${enumeration.name} {`];
  if (enumeration.options?.allowAlias) lines.push(`${indent}  option allow_alias = true;`);
  for (const value of enumeration.value) lines.push(`${indent}  ${value.name} = ${value.number};`);
  for (const range of enumeration.reservedRange) lines.push(`${indent}  reserved ${range.start} to ${range.end};`);
  for (const name of enumeration.reservedName) lines.push(`${indent}  reserved "${name}";`);
  lines.push(`${indent}}`);
  return lines;
}

function printExtensions(extensions: readonly FieldDescriptorProto[], indent: string): string[] {
  return extensions.flatMap((field) => [
    "",
    `${indent}extend ${field.extendee} {`,
    printField(field, undefined, `${indent}  `),
    `${indent}}`,
  ]);
}

function printField(field: FieldDescriptorProto, parent: DescriptorProto | undefined, indent: string): string {
  const entry = parent?.nestedType.find(
    (nested) => nested.options?.mapEntry && field.typeName.endsWith(`.${nested.name}`),
  );
  const [key, value] = entry?.field ?? [];
  if (key && value) {
    return `${indent}map<${typeName(key)}, ${typeName(value)}> ${field.name} = ${field.number};`;
  }
  const label = isInOneof(field) ? "" : `${labelName(field)} `;
  return `${indent}${label}${typeName(field)} ${field.name} = ${field.number};`;
}

function isInOneof(field: FieldDescriptorProto): boolean {
  // `oneofIndex` is a proto2 field with explicit presence: 0 is also what an unset one reads as.
  return Object.hasOwn(field, "oneofIndex") && field.oneofIndex !== undefined;
}

function labelName(field: FieldDescriptorProto): string {
  if (field.label === FieldDescriptorProto_Label.REPEATED) return "repeated";
  return field.label === FieldDescriptorProto_Label.REQUIRED ? "required" : "optional";
}

function typeName(field: FieldDescriptorProto): string {
  const name = SCALARS[field.type] ?? field.typeName;
  if (name === "") throw new Error(`Cannot print field "${field.name}": type ${field.type} is not supported`);
  return name;
}
