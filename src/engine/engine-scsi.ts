/**
 * The contract of the hot path, continued: command queues of virtio-scsi, which have a SCSI table
 * (QUEUE_SCSI). Control and event queues are popped and pushed raw.
 */
export interface ScsiEngine {
  /**
   * As `queuePop`, and then reads each chain's header in any framing (VIRTIO 1.3, 5.6.6.1) into its
   * row of requests, once: 19 bytes and a CDB of `cdbSize`, of which SCSI_CDB_BYTES are kept.
   * Data-out is what follows the header; data-in what follows a response of 12 bytes and
   * `senseSize` of sense. With QUEUE_F_PADDED both follow the first segment, if it is longer
   * (SC-20). A chain with less than header or response breaks the queue (BROKEN_HEADERS, BG-13): it
   * and those after it are unpopped; those before it are returned, of which no push tells any more.
   * Both sizes are the configuration's, which the caller reads once per batch (BG-18); they are
   * below 65536.
   */
  scsiPop(queue: number, max: number, cdbSize: number, senseSize: number): number;

  /**
   * Writes the response of each of QUEUE_DONE[0 .. count) into its chain's first writable bytes, in
   * any framing, then does what `queuePush` does. Sense is cut to what there is room for in a row,
   * and to what the driver asked for at the pop; its room behind that stays as the driver left it.
   * RECORD_WRITTEN: how many bytes of data-in were written from their beginning on; they count as
   * used only if the sense before them is full (VQ-6).
   */
  scsiPush(queue: number, count: number): number;

  /** Puts the chain at `head` in flight as `scsiPop` does. Answers as `blkRestore`. */
  scsiRestore(queue: number, head: number, cdbSize: number, senseSize: number): number;

  /**
   * As `blkCollect`, of READs and WRITEs (6, 10, 12, 16) for the logical unit whose header begins
   * with the word `lun`: those in range, of as many bytes as there are data, which are a segment
   * of their own, as header and response are; no protection, FUA, group or control, no data for
   * the other direction. `block`: bytes of a logical block, a power of two of sectors.
   */
  scsiCollect(
    queue: number,
    from: number,
    count: number,
    backend: number,
    block: number,
    lun: number,
  ): number;

  /** As `blkFinish`: OK and GOOD, say the rows of responses, without sense and residual. */
  scsiFinish(queue: number, from: number, count: number, lane: number, done: number): number;
}

/*
 * Where the contract leaves room, both engines do this.
 *
 * Pop. The whole batch is popped raw first, so a ring that is broken at a later chain is broken by
 * that; avail_event may then stand beyond the chains returned. A good chain gets its row of
 * requests, zeroes behind a short CDB; its row of responses, with no sense, no residual and
 * FAILURE; and RECORD_EPOCH. Of a bad one the rows are left alone.
 *
 * Padded. A first segment that is shorter than the header (or response) begins no data: those
 * follow header and response then.
 *
 * Push. A queue not ready or broken gets no responses. SENSE_LENGTH of the row becomes what was
 * written. RECORD_WRITTEN becomes the used length; a head that is listed twice gets that twice.
 *
 * Collect. A group, and a first byte after the code that is not DPO, end the rows, as does a
 * backend without medium, or read-only for writes.
 */
