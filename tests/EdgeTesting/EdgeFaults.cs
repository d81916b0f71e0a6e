using Platform.ResilienceTesting;
using Xunit;

namespace Platform.EdgeTesting;

/// <summary>Every fault of the library, measured for time-outs of half a second and replies of a hundred bytes and more.</summary>
public static class EdgeFaults
{
    /// <summary>The way is slow, and quick enough for the time-outs.</summary>
    public static TheoryData<Fault> Slow =>
    [
        new LatencyFault(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(30)),
        new SliceFault(100, TimeSpan.FromMilliseconds(1)),
        new BandwidthFault(40_000),
    ];

    /// <summary>No whole reply comes, or none in time. <see cref="FlapFault"/>: by turns.</summary>
    public static TheoryData<Fault> Broken =>
    [
        new LatencyFault(TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(1)),
        new ResetFault(),
        new BlackHoleFault(),
        new HalfCloseFault(),
        new CutBodyFault(50),
        new DropReplyFault(),
        new RefuseFault(),
        new FlapFault(TimeSpan.FromMilliseconds(150), TimeSpan.FromMilliseconds(150)),
    ];

    /// <summary>Whether the other side may have done what it was asked for, although the caller was not told.</summary>
    public static bool HidesSuccess(this Fault fault) => fault is LatencyFault or HalfCloseFault or DropReplyFault;
}
