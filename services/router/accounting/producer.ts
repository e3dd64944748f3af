import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { ProducerSchema } from "../../../gen/weir/type/v1/usage_pb.ts";

/** Whose facts they are: one life of one router. */
export interface ProducerName {
  /** Id of the region. */
  readonly region: string;
  /** Name of the router, the same after a restart. */
  readonly instance: string;
  /** Id of its life. */
  readonly boot: string;
}

/** A producer's name as it stands in its facts, encoded once for all of them. */
export interface EncodedProducer {
  readonly name: ProducerName;
  /** Region, instance and boot of a Producer; its seq comes behind. */
  readonly inProducer: Uint8Array;
  /** Region and instance of a Record. */
  readonly inRecord: Uint8Array;
}

/** Encodes the name of a producer. */
export function encodeProducer(name: ProducerName): EncodedProducer {
  const { region, instance, boot } = name;
  return {
    name,
    inProducer: toBinary(ProducerSchema, create(ProducerSchema, { region, instance, boot })),
    inRecord: toBinary(RecordSchema, create(RecordSchema, { region, instance })),
  };
}
