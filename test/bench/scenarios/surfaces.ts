import { checkAnswer } from "../check-answer.ts";
import type { SurfaceName } from "../contenders/contender.ts";
import { PROMPT_BYTES, type PromptOptions, type WireFormat } from "../prompts.ts";
import { CONNECTIONS, putLoad, type Scenario, type ScenarioContext } from "./scenario.ts";
import { RATE, runStreams } from "./streams.ts";
import { runSaturation, toSaturation } from "./unary.ts";

/** A surface beside that of the other scenarios, which is chat completions for a provider of chat completions. */
interface Surface {
  readonly name: SurfaceName;
  readonly about: string;
  /** What the provider is asked in, and so what relays are asked in. */
  readonly format: WireFormat;
  readonly hasStreams: boolean;
  /** Parameters for the provider. Default its own: 1 KB in one piece, or 64 events 5 ms apart. Translated requests can't carry any. */
  readonly provider?: string;
}

const SURFACES: readonly Surface[] = [
  { name: "messages", about: "Messages for a provider of messages", format: "messages", hasStreams: true },
  { name: "responses", about: "Responses for a provider of responses", format: "responses", hasStreams: true },
  {
    name: "embeddings",
    about: "Embeddings, answers of 20 KB (a vector of 1,527 numbers)",
    format: "embeddings",
    hasStreams: false,
    provider: "bytes=20000",
  },
  {
    name: "translation",
    about: "Chat completions for a provider of messages; relays, which cannot translate, are asked for messages",
    format: "messages",
    hasStreams: true,
  },
];

/** Long runs have many scenarios: those of further surfaces take part in some rounds only. */
const ROUNDS = 3;

/** What callers of Anthropic's format send; relays and other gateways get it alike. */
const MESSAGES_HEADER = "anthropic-version: 2023-06-01";

/** The surfaces beside chat completions: at saturation, and streamed where there are streams. */
export const surfaceScenarios: readonly Scenario[] = SURFACES.flatMap((surface) =>
  surface.hasStreams ? [createUnary(surface), createStreams(surface)] : [createUnary(surface)],
);

function createUnary(surface: Surface): Scenario {
  const name = `${surface.name}-unary`;
  return {
    name,
    about: `Saturation: ${surface.about}; in one piece, ${CONNECTIONS} connections, prompts of 4.5 KB`,
    seconds: 3,
    rounds: ROUNDS,
    takes: ({ surfaces }) => surfaces === undefined || surfaces[surface.name] !== undefined,
    warmUp: async (context) => {
      const [on, file, prompt] = ask(context, name, surface);
      // An answer in another format than asked for would be measured all the same.
      await checkAnswer(on.contender, prompt);
      await putLoad(on, file, prompt, toSaturation(context.seconds));
    },
    run: (context) => runSaturation(...ask(context, name, surface)),
  };
}

function createStreams(surface: Surface): Scenario {
  const name = `${surface.name}-streams`;
  return {
    name,
    about: `${surface.about}; streams of 64 events 5 ms apart, ${RATE} a second, about 100 open`,
    seconds: 5,
    rounds: ROUNDS,
    takes: ({ surfaces }) => surfaces === undefined || surfaces[surface.name] !== undefined,
    warmUp: (context) => {
      const [on, file, prompt] = ask(context, name, surface, { stream: true });
      return putLoad(on, file, prompt, { mode: "open", rate: RATE, seconds: context.seconds });
    },
    run: (context) => runStreams(...ask(context, name, surface, { stream: true }), RATE),
  };
}

/** The contender with the headers of this surface, the name of its prompt, and the prompt, as it is asked. */
function ask(
  context: ScenarioContext,
  scenario: string,
  surface: Surface,
  { stream = false }: { readonly stream?: boolean } = {},
): [ScenarioContext, string, PromptOptions] {
  const { contender } = context;
  const { format = surface.format, model, headers = contender.headers } = contender.surfaces?.[surface.name] ?? {};
  const own = format === "messages" ? [...headers, MESSAGES_HEADER] : headers;
  return [
    { ...context, contender: { ...contender, headers: own } },
    // Contenders that are asked alike share a prompt.
    [scenario, format, model].filter(Boolean).join("-"),
    {
      bytes: PROMPT_BYTES,
      format,
      stream,
      ...(model !== undefined && { model }),
      ...(surface.provider !== undefined && { provider: surface.provider }),
    },
  ];
}
