using Platform.EdgeTesting;
using Platform.ResilienceTesting;

namespace Platform.Backend.Tests.Edges;

public sealed class EdgeFaultsTests
{
    [Fact]
    public void Every_fault_of_the_library_is_tried_on_each_edge() =>
        EdgeFaults.Slow.Concat(EdgeFaults.Broken).Select(row => row.Data.GetType()).Distinct()
            .ShouldBe(typeof(Fault).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Fault))), ignoreOrder: true);
}
