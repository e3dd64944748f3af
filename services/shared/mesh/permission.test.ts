import { describe, expect, it } from "vitest";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { AuditService } from "../../../gen/weir/audit/v1/audit_service_pb.ts";
import { IntakeService as AuditIntakeService } from "../../../gen/weir/audit/v1/intake_service_pb.ts";
import { IntakeService } from "../../../gen/weir/metering/v1/intake_service_pb.ts";
import { SpendService } from "../../../gen/weir/metering/v1/spend_service_pb.ts";
import { CredentialService } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { ExplainService } from "../../../gen/weir/policy/v1/explain_service_pb.ts";
import { KeyService } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { PolicyService } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { ReleaseService } from "../../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotService } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { TenantService } from "../../../gen/weir/policy/v1/tenant_service_pb.ts";
import { ChatService } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { EmbeddingService } from "../../../gen/weir/router/v1/embedding_service_pb.ts";
import { Permission } from "../../../gen/weir/type/v1/permission_pb.ts";
import { checkPermissions, findPermission } from "./permission.ts";

/** Who may do what: a new RPC needs a line here. */
const TABLE: Readonly<Record<string, keyof typeof Permission>> = {
  "weir.audit.v1.AuditService/GetCheckpoint": "AUDIT_READ",
  "weir.audit.v1.AuditService/GetConsistencyProof": "AUDIT_READ",
  "weir.audit.v1.AuditService/GetInclusionProof": "AUDIT_READ",
  "weir.audit.v1.AuditService/GetRecord": "AUDIT_READ",
  "weir.audit.v1.AuditService/ListCheckpoints": "AUDIT_READ",
  "weir.audit.v1.AuditService/ListRecords": "AUDIT_READ",
  "weir.audit.v1.IntakeService/GetWatermark": "INTAKE_READ",
  "weir.metering.v1.IntakeService/GetWatermark": "INTAKE_READ",
  "weir.metering.v1.SpendService/ListLedgerEntries": "SPEND_READ",
  "weir.metering.v1.SpendService/QuerySpend": "SPEND_READ",
  "weir.policy.v1.CredentialService/DeleteCredential": "CREDENTIAL_WRITE",
  "weir.policy.v1.CredentialService/ListCredentials": "CREDENTIAL_READ",
  "weir.policy.v1.CredentialService/ReportCredentials": "CREDENTIAL_WATCH",
  "weir.policy.v1.CredentialService/SetCredential": "CREDENTIAL_WRITE",
  "weir.policy.v1.CredentialService/WatchCredentials": "CREDENTIAL_WATCH",
  "weir.policy.v1.ExplainService/Explain": "POLICY_READ",
  "weir.policy.v1.KeyService/BatchCreateKeys": "KEY_WRITE",
  "weir.policy.v1.KeyService/CreateKey": "KEY_WRITE",
  "weir.policy.v1.KeyService/DisableKey": "KEY_WRITE",
  "weir.policy.v1.KeyService/EnableKey": "KEY_WRITE",
  "weir.policy.v1.KeyService/GetKey": "KEY_READ",
  "weir.policy.v1.KeyService/ListKeys": "KEY_READ",
  "weir.policy.v1.KeyService/RevokeKey": "KEY_WRITE",
  "weir.policy.v1.KeyService/RotateKey": "KEY_WRITE",
  "weir.policy.v1.KeyService/UpdateKey": "KEY_WRITE",
  "weir.policy.v1.PolicyService/CheckPolicy": "POLICY_CHECK",
  "weir.policy.v1.PolicyService/DiffPolicy": "POLICY_CHECK",
  "weir.policy.v1.PolicyService/GetPolicy": "POLICY_READ",
  "weir.policy.v1.PolicyService/ListPolicyVersions": "POLICY_READ",
  "weir.policy.v1.PolicyService/PublishPolicy": "POLICY_WRITE",
  "weir.policy.v1.PolicyService/RollBackPolicy": "POLICY_WRITE",
  "weir.policy.v1.ReleaseService/GetRelease": "POLICY_READ",
  "weir.policy.v1.ReleaseService/HaltRelease": "POLICY_WRITE",
  "weir.policy.v1.ReleaseService/ListInstances": "POLICY_READ",
  "weir.policy.v1.ReleaseService/WatchRelease": "POLICY_READ",
  "weir.policy.v1.SnapshotService/ReportSnapshot": "SNAPSHOT_REPORT",
  "weir.policy.v1.SnapshotService/ReportTraffic": "SNAPSHOT_REPORT",
  "weir.policy.v1.SnapshotService/WatchSnapshots": "SNAPSHOT_WATCH",
  "weir.policy.v1.TenantService/DisableTenant": "KEY_WRITE",
  "weir.policy.v1.TenantService/EnableTenant": "KEY_WRITE",
  "weir.policy.v1.TenantService/ListDisabledTenants": "KEY_READ",
  "weir.router.v1.ChatService/Complete": "CHAT",
  "weir.router.v1.ChatService/Stream": "CHAT",
  "weir.router.v1.EmbeddingService/Embed": "EMBED",
};

const SERVICES = [
  AuditService,
  AuditIntakeService,
  ChatService,
  CredentialService,
  EmbeddingService,
  ExplainService,
  IntakeService,
  KeyService,
  PolicyService,
  ReleaseService,
  SnapshotService,
  SpendService,
  TenantService,
];

describe("S1: permissions", () => {
  it("of all RPCs are those of the table", () => {
    const found = SERVICES.flatMap((service) => service.methods).map((method) => [
      `${method.parent.typeName}/${method.name}`,
      Object.entries(Permission).find(([, value]) => value === findPermission(method))?.[0],
    ]);

    expect(Object.fromEntries(found)).toEqual(TABLE);
  });

  it("must be named by what is served", () => {
    expect(() => checkPermissions(SERVICES)).not.toThrow();
    expect(() => checkPermissions([Health])).toThrow("Cannot serve grpc.health.v1.Health/Check");
  });
});
