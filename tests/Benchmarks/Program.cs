using Platform.Benchmarks.Communication;

switch (args)
{
    case ["communication", .. var rest]:
        return await CommunicationBenchmark.RunAsync(rest);
    default:
        Console.Error.WriteLine("usage: ./bench communication [--requests N] [--seconds N] [--seed N]");
        return 2;
}
