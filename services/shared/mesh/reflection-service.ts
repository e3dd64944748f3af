import { createRegistry, type DescFile, type DescService, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";

/** Largest request, bytes: a name, and what else nobody asks for. */
const READ_MAX_BYTES = 64 << 10;

/** A request of either version: their messages are the same but for the package. */
interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest:
    | {
        readonly case: "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType" | "listServices";
        readonly value: string;
      }
    | {
        readonly case: "fileContainingExtension";
        readonly value: { readonly containingType: string; readonly extensionNumber: number };
      }
    | { readonly case: undefined; readonly value?: undefined };
}

/** Serves grpc.reflection v1 and v1alpha (grpcurl of older Debian speaks only that) for `services` and all they use. */
export function routeReflection(router: ConnectRouter, services: readonly DescService[]): void {
  const answer = createAnswerer([...services, ServerReflection, ServerReflectionAlpha]);
  async function* serverReflectionInfo(requests: AsyncIterable<ReflectionRequest & object>) {
    for await (const request of requests) {
      yield { validHost: request.host, originalRequest: request as never, messageResponse: answer(request) };
    }
  }
  router.service(ServerReflection, { serverReflectionInfo }, { readMaxBytes: READ_MAX_BYTES });
  router.service(ServerReflectionAlpha, { serverReflectionInfo }, { readMaxBytes: READ_MAX_BYTES });
}

function createAnswerer(services: readonly DescService[]) {
  // With the details that our errors carry, so that a client can read those too.
  const files = collectFiles([...services.map((service) => service.file), file_google_rpc_error_details]);
  const registry = createRegistry(...files.values());
  const listing = { service: services.map((service) => ({ name: service.typeName })) };

  return ({ messageRequest }: ReflectionRequest) => {
    switch (messageRequest.case) {
      case "listServices":
        return { case: "listServicesResponse", value: listing } as const;
      case "fileByFilename":
        return toFiles(files.get(messageRequest.value));
      case "fileContainingSymbol":
        return toFiles(findFileOf(registry, messageRequest.value));
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = messageRequest.value;
        const message = registry.getMessage(containingType);
        return toFiles(message && registry.getExtensionFor(message, extensionNumber)?.file);
      }
      case "allExtensionNumbersOfType": {
        if (registry.getMessage(messageRequest.value) === undefined) return toFiles(undefined);
        const extensionNumber = [...registry]
          .filter((desc) => desc.kind === "extension" && desc.extendee.typeName === messageRequest.value)
          .map((desc) => (desc.kind === "extension" ? desc.number : 0));
        const value = { baseTypeName: messageRequest.value, extensionNumber };
        return { case: "allExtensionNumbersResponse", value } as const;
      }
      default: {
        const value = { errorCode: Code.InvalidArgument, errorMessage: "no request is set" };
        return { case: "errorResponse", value } as const;
      }
    }
  };
}

/** The file that declares a symbol: a type, a service, an extension, or a method, field, oneof or enum value of one. */
function findFileOf(registry: Registry, symbol: string): DescFile | undefined {
  const name = symbol.replace(/^\./, "");
  return (registry.get(name) ?? registry.get(name.slice(0, Math.max(0, name.lastIndexOf(".")))))?.file;
}

/** A file with all it imports, so that a client needs to ask once. */
function toFiles(file: DescFile | undefined) {
  if (file === undefined) {
    return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: "not found" } } as const;
  }
  const fileDescriptorProto = [...collectFiles([file]).values()].map((each) =>
    toBinary(FileDescriptorProtoSchema, each.proto),
  );
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } } as const;
}

/** Files and their imports by path, each once, the given ones first. A descriptor names itself without `.proto`. */
function collectFiles(roots: readonly DescFile[]): Map<string, DescFile> {
  const files = new Map<string, DescFile>();
  const pending = [...roots];
  for (let file = pending.shift(); file !== undefined; file = pending.shift()) {
    if (files.has(file.proto.name)) continue;
    files.set(file.proto.name, file);
    pending.push(...file.dependencies);
  }
  return files;
}
