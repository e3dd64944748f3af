import { type Command, InvalidArgumentError, Option } from "commander";
import { CONTROL_REGION, SERVICE_NAMES, type ServiceName } from "../../services/shared/authority/identity.ts";
import { formatSpiffe } from "../../services/shared/authority/spiffe.ts";
import { addAuthority, bundlePath } from "../certificates/authorities.ts";
import {
  issueCertificate,
  listCertificates,
  renewCertificates,
  type StoredCertificate,
} from "../certificates/certificates.ts";
import { parseSpanMs } from "../key-options.ts";
import { formatTable, type OutputFormat } from "../output.ts";

interface FolderOptions {
  readonly dir: string;
  readonly overlap: number;
  readonly output: OutputFormat;
}

interface IssueOptions extends FolderOptions {
  readonly ttl: number;
  readonly service: ServiceName;
  readonly region: string;
  readonly instance: string;
  readonly host: readonly string[];
  readonly domain: string;
}

/** Adds `weir certificates …`: who is who among the services beyond loopback. */
export function addCertificateCommands(program: Command): void {
  const certificates = program.command("certificates").description("issue and renew the certificates of services");

  withFolder(certificates.command("issue"))
    .description("issue a certificate for a service, and the mesh's first authority where there is none")
    .addOption(new Option("--service <name>", "which service").choices(SERVICE_NAMES).makeOptionMandatory())
    .option("--region <id>", "its region; by default the control plane's", CONTROL_REGION)
    .requiredOption("--instance <name>", "its name: of a router that of WEIR_ROUTER")
    .option("--host <names...>", "names and IP addresses by which others reach it", [])
    .option("--domain <name>", "name of the mesh, the same in all its certificates", "weir.local")
    .option("--ttl <duration>", "how long it is good, such as 24h or 7d", parseLife, 7 * 86_400_000)
    .action(async (options: IssueOptions) => {
      const { service, region, instance, host: hosts, domain: trustDomain, ttl: ttlMs } = options;
      const name = { trustDomain, service: { kind: "service", service, region, instance } } as const;
      const issued = await issueCertificate({ name, hosts, ttlMs }, toOptions(options));
      print(options.output, { issued: describe(issued), authorities: bundlePath(options.dir) }, () =>
        [
          `Issued ${formatSpiffe(issued.name)}, good until ${new Date(issued.validToMs).toISOString()}`,
          `Certificate and key:  ${options.dir}/${issued.folder}/tls.crt, tls.key (secret)`,
          `Authorities to trust: ${bundlePath(options.dir)}`,
        ].join("\n"),
      );
    });

  withFolder(certificates.command("renew"))
    .description("renew what is past half of its life, or of an old authority; safe to run from cron, every hour")
    .option("--ttl <duration>", "how long new ones are good; by default each as long as before", parseLife)
    .action(async (options: FolderOptions & { readonly ttl?: number }) => {
      const renewal = await renewCertificates({ ...toOptions(options), ttlMs: options.ttl });
      print(options.output, renewal, () =>
        [
          `Renewed: ${renewal.renewed.join(", ") || "none"}`,
          `Kept:    ${renewal.kept.join(", ") || "none"}`,
          ...(renewal.retired.length > 0 ? [`Trusted no more: authority ${renewal.retired.join(", ")}`] : []),
        ].join("\n"),
      );
    });

  withFolder(certificates.command("rotate-authority"))
    .description("make the next authority: trusted at once, signing after the overlap, when renew runs")
    .option("--domain <name>", "name of the mesh", "weir.local")
    .action(async (options: FolderOptions & { readonly domain: string }) => {
      const { number } = await addAuthority(options.dir, options.domain, Date.now());
      print(options.output, { authority: number, authorities: bundlePath(options.dir) }, () =>
        [
          `Made authority ${number}. Bring ${bundlePath(options.dir)} to every service now;`,
          "after the overlap, weir certificates renew signs with it, and later trusts the old one no more.",
        ].join("\n"),
      );
    });

  withFolder(certificates.command("list"))
    .description("list certificates, and until when they are good")
    .action((options: FolderOptions) => {
      const found = listCertificates(options.dir);
      print(options.output, found.map(describe), () =>
        formatTable(
          ["folder", "name", "hosts", "good until"],
          found.map((stored) => [
            stored.folder,
            formatSpiffe(stored.name),
            stored.hosts.join(" "),
            new Date(stored.validToMs).toISOString(),
          ]),
        ),
      );
    });
}

function withFolder(command: Command): Command {
  return command
    .option("--dir <folder>", "folder of the authorities and certificates", "certificates")
    .option("--overlap <duration>", "how long services have to learn of a new authority", parseLife, 3_600_000);
}

function toOptions({ dir: directory, overlap: overlapMs }: FolderOptions) {
  return { directory, overlapMs, nowMs: Date.now() };
}

function parseLife(text: string): number {
  const lifeMs = parseSpanMs(text);
  if (lifeMs === 0) throw new InvalidArgumentError("should be longer than nothing");
  return lifeMs;
}

function describe(stored: StoredCertificate) {
  const { folder, name, hosts, validFromMs, validToMs } = stored;
  return {
    folder,
    name: formatSpiffe(name),
    hosts,
    notBefore: new Date(validFromMs).toISOString(),
    notAfter: new Date(validToMs).toISOString(),
  };
}

function print(output: OutputFormat, result: unknown, toText: () => string): void {
  console.log(output === "json" ? JSON.stringify(result, null, 2) : toText());
}
