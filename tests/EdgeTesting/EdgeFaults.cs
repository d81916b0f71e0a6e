using Platform.ResilienceTesting;
using Xunit;

namespace Platform.EdgeTesting;

/// <summary>All kinds of faults, with parameters that suit time-outs of half a second and replies of at least a hundred bytes.</summary>
public static class EdgeFaults
{
    /// <summary>Faults that slow calls down without exceeding the time-outs.</summary>
    public static TheoryData<Fault> Slow =>
    [
        new LatencyFault(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(30)),
        new SliceFault(100, TimeSpan.FromMilliseconds(1)),
        new BandwidthFault(40_000),
    ];

    /// <summary>Faults with which no complete reply arrives in time; with <see cref="FlapFault"/> only part of the time.</summary>
    public static TheoryData<Fault> Broken =>
    [
        new LatencyFault(TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(1)),
        new ResetFault(),
        new BlackHoleFault(),
        new HalfCloseFault(),
        new CutBodyFault(50),
        new DropReplyFault(),
        new RefuseFault(),
        new FlapFault(TimeSpan.FromMilliseconds(150), TimeSpan.FromMilliseconds(150)),
    ];

    /// <summary>Whether the request may have succeeded although the caller got no reply.</summary>
    public static bool HidesSuccess(this Fault fault) => fault is LatencyFault or HalfCloseFault or DropReplyFault;
}
