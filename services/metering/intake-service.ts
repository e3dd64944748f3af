import type { ServiceImpl } from "@connectrpc/connect";
import type { IntakeService } from "../../gen/weir/metering/v1/intake_service_pb.ts";
import type { Pool } from "../shared/database/pool.ts";
import { getWatermark } from "../shared/database/watermark.ts";

/** Serves weir.metering.v1.IntakeService. */
export function createIntakeService(pool: Pool): ServiceImpl<typeof IntakeService> {
  return {
    async getWatermark({ region, instance, boot }) {
      return { seq: await getWatermark(pool, { region, producer: instance, boot }) };
    },
  };
}
