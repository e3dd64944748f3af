import type { Command } from "commander";
import { findSessionFile } from "../addresses.ts";
import { escapeControl, type OutputFormat, printJson } from "../output.ts";
import { revokeSession, type SignInOptions, signIn } from "../session/issuer.ts";
import { keepSession } from "../session/session-file.ts";
import { takeSession } from "../session/session-token.ts";

interface LoginOptions extends Omit<SignInOptions, "signal"> {
  readonly output: OutputFormat;
}

/** Adds `weir login` and `weir logout`: how an operator signs in. */
export function addLoginCommands(program: Command): void {
  program
    .command("login")
    .description("sign in at an OpenID Connect issuer, in any browser, for the services of a mesh elsewhere")
    .requiredOption("--issuer <url>", "the issuer, as the operators' document of the mesh names it")
    .requiredOption(
      "--client-id <id>",
      "the client that the issuer knows the command by: a public one, with the device flow",
    )
    .option("--scope <names>", 'what to ask for; by default "openid offline_access"')
    .option("--resource <uri>", "show an access token for this resource, and not the token that says who signed in")
    .action(login);

  program.command("logout").description("forget the session, and tell its issuer").action(logout);
}

async function login({ output, ...options }: LoginOptions): Promise<void> {
  const file = findSessionFile(process.env);
  const session = await signIn(options, ({ uri, code }) =>
    console.error(escapeControl(`To sign in, open ${uri} in a browser and confirm the code ${code}`)),
  );
  keepSession(file, session);
  const expiresAt = new Date(session.expiresAtMs).toISOString();
  const renews = session.refreshToken === undefined ? "" : ", and renewed after that";
  if (output === "json") printJson({ issuer: session.issuer, expiresAt, renewed: renews !== "", file });
  else console.log(`Signed in at ${session.issuer}, until ${expiresAt}${renews}; kept in ${file}`);
}

async function logout(): Promise<void> {
  // Forgotten here whatever the issuer says.
  const session = await takeSession(findSessionFile(process.env));
  if (session === undefined) {
    console.log("Nobody has signed in");
    return;
  }
  await revokeSession(session);
  console.log(`Signed out at ${session.issuer}`);
}
