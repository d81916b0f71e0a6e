using Platform.Benchmarks.Communication;
using Platform.Benchmarks.Deployments;
using Platform.Benchmarks.Start;

switch (args)
{
    case ["communication", .. var rest]:
        return await CommunicationBenchmark.RunAsync(rest);
    case ["deployments", .. var rest]:
        return await DeploymentBenchmark.RunAsync(rest);
    case ["start", .. var rest]:
        return await StartBenchmark.RunAsync(rest);
    default:
        Console.Error.WriteLine("""
            usage: ./bench communication [--requests N] [--seconds N] [--seed N]
                   ./bench deployments [--deployments N] [--takeovers N] [--reads N] [--jobs N] [--waiting N] [--away SECONDS] [--seconds N]
                   ./bench start [--starts N] [--port N]
            """);
        return 2;
}
