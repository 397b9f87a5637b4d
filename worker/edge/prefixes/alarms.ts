/** Sets an object's alarm, unless it rings before that anyway. @param time milliseconds */
export async function soonerAlarm(storage: DurableObjectStorage, time: number): Promise<void> {
  const set = await storage.getAlarm();
  if (set === null || set > time) await storage.setAlarm(time);
}
