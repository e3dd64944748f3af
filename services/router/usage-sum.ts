import { create } from "@bufbuild/protobuf";
import { type Usage, UsageSchema } from "../../gen/weir/router/v1/chat_pb.ts";
import { type Attempt, type UsageLine, UsageLineSchema, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";

/**
 * What a chat used and cost, for its caller: the attempts together, one line for each meter and price. Costs are added, never
 * computed anew, so that the sum is the one of the ledger.
 */
export function sumUsage(attempts: readonly Attempt[]): Usage {
  const lines = new Map<string, UsageLine>();
  let source: UsageSource = UsageSource.UNSPECIFIED;
  let cost = 0n;
  for (const attempt of attempts) {
    // A higher source is a weaker one.
    if (attempt.source > source) source = attempt.source;
    for (const line of attempt.lines) {
      const key = `${line.meter} ${line.priceNanosPerMillion}`;
      const sum = lines.get(key) ?? create(UsageLineSchema, { ...line, quantity: 0n, costNanos: 0n });
      sum.quantity += line.quantity;
      sum.costNanos += line.costNanos;
      cost += line.costNanos;
      lines.set(key, sum);
    }
  }
  return create(UsageSchema, { lines: [...lines.values()], source, costNanos: cost });
}
