using System.Runtime.InteropServices;
using Platform.Drill;

if (!DrillArguments.TryRead(args, out var arguments))
{
    Console.Error.WriteLine("usage: ./drill [--seed N] [--schedules N] [--systems N] [--keep-going] [--from COMMIT]");
    return 2;
}

using var stop = new CancellationTokenSource();
// Cancelled instead of terminated, so that the processes started are stopped too.
using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
try
{
    return await new DrillRun(arguments).RunAsync(stop.Token) ? 0 : 1;
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    return 130;
}

void Cancel(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}
