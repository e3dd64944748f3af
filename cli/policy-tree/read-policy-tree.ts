import { fromJson } from "@bufbuild/protobuf";
import { type Finding, type Policy, PolicySchema, Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import { FindingList, type LocatedFinding } from "./finding.ts";
import { joinFiles } from "./join-files.ts";
import { listFiles, type PolicyFile } from "./list-files.ts";
import { parseFile } from "./parse-file.ts";
import { formatPlace, type Place } from "./place.ts";
import { readMessage } from "./read-message.ts";

/** A policy as its files say it. */
export interface PolicyTree {
  /** What could be read of it: all, when there are no findings. */
  readonly policy: Policy;
  /** What is wrong with the files themselves: all of it, all errors, in the order of the files. */
  readonly findings: readonly LocatedFinding[];
  /** Where a field stands; for one that is not there the nearest thing around it. */
  locate(field: string): Place;
}

/**
 * Reads a policy from a file, or from a folder in which every *.yaml, *.yml and *.json is a part of it: the proto JSON form of
 * weir.policy.v1.Policy. Never throws for what the files say; throws when the path does not exist.
 */
export function readPolicyTree(path: string): PolicyTree {
  const findings = new FindingList();
  return readFiles(path, listFiles(path, findings.report), findings);
}

/** The same for files that were read already. `path` names the whole of them in findings. */
export function readFiles(path: string, files: readonly PolicyFile[], findings = new FindingList()): PolicyTree {
  const roots = files.flatMap((file) => parseFile(file, findings.report) ?? []);
  const { json, places } = readMessage(PolicySchema, joinFiles(PolicySchema, roots), findings.report);
  const list = findings.list(path);
  return {
    policy: fromJson(PolicySchema, json),
    findings: list,
    locate(field) {
      for (let at: string | undefined = field; at !== undefined; at = parentPath(at)) {
        const place = places.get(at);
        if (place !== undefined) return place;
      }
      return { file: path };
    },
  };
}

/**
 * What policy found, at its place in the files, after what the files' own findings are. Of a tree that has findings itself only that part of
 * what policy found is kept which does not follow from them.
 */
export function locateFindings(tree: PolicyTree, found: readonly Finding[]): LocatedFinding[] {
  const broken = tree.findings.map(({ field }) => parentOf(field));
  const isOwn = ({ field, severity }: Finding) =>
    broken.length === 0 || (severity === Severity.ERROR && !broken.some((part) => isWithin(field, part)));
  const located = found.filter(isOwn).map(({ field, rule, message, severity }) => {
    return { ...tree.locate(field), field, rule, message: addPlaces(message, tree), severity };
  });
  return [...tree.findings, ...located];
}

/** A message that names other items of the policy, such as "models[3]", with their places: nobody counts items over several files. */
function addPlaces(message: string, tree: PolicyTree): string {
  return message.replaceAll(/\b[a-z_]+\[\d+\](?:\.[a-z_]+\[\d+\])*/g, (path) => {
    const place = tree.locate(path);
    return place.line === undefined ? path : `${path} (${formatPlace(place)})`;
  });
}

/**
 * Whether policy can say something about what was read that does not follow from the files' own findings: when all of them are within items of
 * lists, and none in an id, which others may name.
 */
export function isWorthChecking({ findings }: PolicyTree): boolean {
  return findings.every(({ field }) => /\[\d+\]\./.test(field) && !field.endsWith("].id"));
}

/** The path without its last name or index. */
function parentPath(path: string): string | undefined {
  const end = Math.max(path.lastIndexOf("."), path.lastIndexOf("["));
  return end < 1 ? undefined : path.slice(0, end);
}

function parentOf(field: string): string {
  return field.replace(/\.[^.[\]]*(\[[^[\]]*\])?$/, "");
}

function isWithin(field: string, part: string): boolean {
  return field === part || field.startsWith(`${part}.`) || field.startsWith(`${part}[`);
}
