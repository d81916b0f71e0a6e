namespace Platform.ResilienceTesting;

/// <summary>Applies the faults that slow a connection down without ending it: latency, slices and bandwidth.</summary>
internal sealed class TrafficShaper(TimeProvider time, Random jitter)
{
    // A limited bandwidth is spread over this many pieces per second.
    private const int BandwidthSteps = 20;

    /// <summary>Returns the next piece to forward after having waited for the pauses that the faults demand. A fault that ends during its pause ends the pause.</summary>
    public async Task<ReadOnlyMemory<byte>> NextPieceAsync(
        ReadOnlyMemory<byte> bytes, IReadOnlyList<ActiveFault> faults, Action<ActiveFault> strike, bool toTarget, bool first, CancellationToken cancellationToken)
    {
        var size = bytes.Length;
        foreach (var fault in faults)
        {
            size = fault.Fault switch
            {
                SliceFault slice => Math.Min(size, slice.MaxBytes),
                BandwidthFault bandwidth => (int)Math.Min(size, Math.Max(1, bandwidth.BytesPerSecond / BandwidthSteps)),
                _ => size,
            };
        }

        List<(ActiveFault By, TimeSpan Pause)> pauses = [];
        foreach (var fault in faults)
        {
            TimeSpan? pause = fault.Fault switch
            {
                LatencyFault latency when first && !toTarget => latency.Delay + (latency.Jitter * ((2 * jitter.NextDouble()) - 1)),
                SliceFault slice => slice.Pause,
                BandwidthFault bandwidth => TimeSpan.FromSeconds((double)size / bandwidth.BytesPerSecond),
                _ => null,
            };
            if (pause is { } duration)
                pauses.Add((fault, duration));
        }

        foreach (var (fault, pause) in pauses)
        {
            strike(fault);
            if (pause <= TimeSpan.Zero)
                continue;
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, fault.Ended);
            await Task.Delay(pause, time, linked.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }

        return bytes[..size];
    }
}
