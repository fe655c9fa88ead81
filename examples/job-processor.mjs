// SPDX-License-Identifier: MIT
//
// A worker that tells its user how a job ended: the guide's example as a program. Jobs come one a line, as JSON.
//
//     echo '{"id":1,"userId":"user-123","numbers":[1,2,3]}' | node job-processor.mjs
import { createInterface } from "node:readline";
import { sendEvent } from "./tidings.mjs";

async function processJobData(jobData) {
  if (!Array.isArray(jobData.numbers)) throw new Error("numbers: missing");
  return jobData.numbers.reduce((sum, number) => sum + number, 0);
}

export async function processJob(jobData) {
  try {
    // Process the job
    const result = await processJobData(jobData);

    // Notify user about job completion
    await sendEvent(jobData.userId, "job-completed", {
      jobId: jobData.id,
      status: "completed",
      result,
    });
  } catch (error) {
    // Notify user about job failure
    await sendEvent(jobData.userId, "job-failed", {
      jobId: jobData.id,
      status: "failed",
      error: error.message,
    });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) await processJob(JSON.parse(line));
}
