/**
 * Task management functions (SAM-5 7; VIRTIO 1.3, 5.6.6.2; SC-14, SC-15): what they do to the bus,
 * and when they are answered. Main thread. QEMU: `virtio_scsi_do_tmf`.
 */

import type { ScsiBus } from '../scsi/bus.ts';
import type { CommandMatch, MaybeLater } from '../scsi/bus-messages.ts';
import type { LogicalUnit } from '../scsi/logical-unit.ts';
import {
  VIRTIO_SCSI_S_BAD_TARGET,
  VIRTIO_SCSI_S_FUNCTION_COMPLETE,
  VIRTIO_SCSI_S_FUNCTION_REJECTED,
  VIRTIO_SCSI_S_FUNCTION_SUCCEEDED,
  VIRTIO_SCSI_S_INCORRECT_LUN,
  VIRTIO_SCSI_T_TMF_ABORT_TASK,
  VIRTIO_SCSI_T_TMF_ABORT_TASK_SET,
  VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET,
  VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET,
  VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET,
  VIRTIO_SCSI_T_TMF_QUERY_TASK,
  VIRTIO_SCSI_T_TMF_QUERY_TASK_SET,
} from '../spec.ts';
import type { TaskManagement } from './scsi-control-queue.ts';

/**
 * Carries a function out. `deliver` has the driver see what other threads have given back, so that
 * no answer comes before the commands that it is about.
 */
export function manageTasks(
  bus: ScsiBus,
  request: TaskManagement,
  deliver: () => void,
): MaybeLater<number> {
  const answer = carryOut(bus, request);
  if (typeof answer === 'number') return answer;
  return answer.then((response) => {
    deliver();
    return response;
  });
}

function carryOut(bus: ScsiBus, { type, target, lun, tag }: TaskManagement): MaybeLater<number> {
  switch (type) {
    case VIRTIO_SCSI_T_TMF_ABORT_TASK:
      return onUnit(bus, target, lun, () => abort(bus, { target, lun, tag }));
    case VIRTIO_SCSI_T_TMF_ABORT_TASK_SET:
    case VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET:
      return onUnit(bus, target, lun, () => abort(bus, { target, lun, tag: null }));
    case VIRTIO_SCSI_T_TMF_QUERY_TASK:
      return onUnit(bus, target, lun, () => query(bus, { target, lun, tag }));
    case VIRTIO_SCSI_T_TMF_QUERY_TASK_SET:
      return onUnit(bus, target, lun, () => query(bus, { target, lun, tag: null }));
    case VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET:
      return onUnit(bus, target, lun, (unit) => reset(bus, [unit]));
    case VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET: {
      const units = bus.unitsOf(target);
      const isThere = units.some(({ words }) => words.realized);
      return isThere ? reset(bus, units) : VIRTIO_SCSI_S_BAD_TARGET;
    }
    default: // CLEAR ACA too: there is no auto contingent allegiance
      return VIRTIO_SCSI_S_FUNCTION_REJECTED;
  }
}

function onUnit(
  bus: ScsiBus,
  target: number,
  lun: number,
  step: (unit: LogicalUnit) => MaybeLater<number>,
): MaybeLater<number> {
  const unit = bus.find(target, lun);
  if (unit === 'absent-target') return VIRTIO_SCSI_S_BAD_TARGET;
  return unit === 'absent-lun' ? VIRTIO_SCSI_S_INCORRECT_LUN : step(unit);
}

/** Also of a command that is not there: it has ended, or never was. */
function abort(bus: ScsiBus, match: CommandMatch): MaybeLater<number> {
  const canceled = bus.cancel(match, 'aborted');
  if (typeof canceled === 'number') return VIRTIO_SCSI_S_FUNCTION_COMPLETE;
  return canceled.then(() => VIRTIO_SCSI_S_FUNCTION_COMPLETE);
}

function query(bus: ScsiBus, match: CommandMatch): MaybeLater<number> {
  const answerOf = (count: number) => {
    return count > 0 ? VIRTIO_SCSI_S_FUNCTION_SUCCEEDED : VIRTIO_SCSI_S_FUNCTION_COMPLETE;
  };
  const count = bus.count(match);
  return typeof count === 'number' ? answerOf(count) : count.then(answerOf);
}

async function reset(bus: ScsiBus, units: readonly LogicalUnit[]): Promise<number> {
  await Promise.all(units.map((unit) => bus.resetUnit(unit)));
  return VIRTIO_SCSI_S_FUNCTION_COMPLETE;
}
