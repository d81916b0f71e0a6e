using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;

namespace Platform.AppHost.Tests.Hosting;

public sealed class CommandTests
{
    [Fact]
    public async Task A_command_runs_for_the_instance_and_its_result_comes_back()
    {
        await using var builder = TestApplication.Create();
        string? instance = null;
        var shell = builder.AddShell("shell", "exec sleep 1000").WithCommand("greet", "Greet", context =>
        {
            instance = context.ResourceName;
            return Task.FromResult(CommandResults.Success("hello"));
        }).WithCommand("fail", "Fail", _ => throw new InvalidOperationException("no luck"));
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());
        var running = await app.ResourceNotifications.WaitForResourceAsync("shell", e => e.Snapshot.State?.Text == KnownResourceStates.Running, TestApplication.Deadline());

        var greeted = await app.ResourceCommands.ExecuteCommandAsync(shell.Resource, "greet", TestApplication.Deadline());
        var failed = await app.ResourceCommands.ExecuteCommandAsync(running.ResourceId, "fail", TestApplication.Deadline());
        var unknown = await app.ResourceCommands.ExecuteCommandAsync(running.ResourceId, "no-such-command", TestApplication.Deadline());

        greeted.Success.ShouldBeTrue();
        greeted.Message.ShouldBe("hello");
        instance.ShouldBe(running.ResourceId);
        failed.Success.ShouldBeFalse();
        failed.Message.ShouldNotBeNull().ShouldContain("no luck");
        unknown.Success.ShouldBeFalse();
    }
}
