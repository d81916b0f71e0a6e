using System.Diagnostics;
using System.Reflection;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace Platform.AppHost.Tests.Hosting;

/// <summary>Small applications of a resource or two, to test what AppHost relies on.</summary>
internal static class TestApplication
{
    /// <summary>An HTTP server that answers with its environment; <c>/health</c> is 503 until a <c>POST /heal</c>, <c>POST /exit</c> ends it.</summary>
    private const string ServerScript = """
        let healthy = process.env.UNHEALTHY === undefined;
        require('http').createServer((request, response) => {
          if (request.url === '/heal') healthy = true;
          if (request.url === '/exit') process.exit(7);
          response.statusCode = request.url === '/health' && !healthy ? 503 : 200;
          response.setHeader('content-type', 'application/json');
          response.end(JSON.stringify({ pid: process.pid, ...process.env }));
        }).listen(process.env.PORT, () => console.log('listening'));
        """;

    public static IDistributedApplicationTestingBuilder Create(params string[] args) =>
        DistributedApplicationTestingBuilder.Create(
            [$"--DcpPublisher:CliPath={OfAppHost("dcpclipath")}", $"--DcpPublisher:DashboardPath={OfAppHost("aspiredashboardpath")}", .. args]);

    public static IResourceBuilder<ExecutableResource> AddServer(this IDistributedApplicationBuilder builder, string name) =>
        builder.AddExecutable(name, "node", ".", "-e", ServerScript).WithHttpEndpoint(env: "PORT");

    public static IResourceBuilder<ExecutableResource> AddShell(this IDistributedApplicationBuilder builder, string name, string script) =>
        builder.AddExecutable(name, "/bin/sh", ".", "-c", script);

    public static CancellationToken Deadline() =>
        CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken, new CancellationTokenSource(TimeSpan.FromSeconds(60)).Token).Token;

    /// <summary>The console output of a resource until a line has the text.</summary>
    public static async Task<IReadOnlyList<LogLine>> LogUntilAsync(this DistributedApplication app, string resourceName, string text)
    {
        var instance = await app.ResourceNotifications.WaitForResourceAsync(resourceName, _ => true, Deadline());
        var all = new List<LogLine>();
        await foreach (var lines in app.Services.GetRequiredService<ResourceLoggerService>().WatchAsync(instance.ResourceId).WithCancellation(Deadline()))
        {
            // the orchestrator's own say which command it starts, and so what that is going to write
            all.AddRange(lines.Where(l => !l.Content.Contains(" [sys] ", StringComparison.Ordinal)));
            if (all.Any(l => l.Content.Contains(text, StringComparison.Ordinal)))
                return all;
        }

        throw new InvalidOperationException($"The log of {resourceName} ended without '{text}'.");
    }

    public static async Task<int> PidAsync(this DistributedApplication app, string resourceName)
    {
        var running = await app.ResourceNotifications.WaitForResourceAsync(
            resourceName, e => e.Snapshot.State?.Text == KnownResourceStates.Running && Pid(e) is not null, Deadline());
        return Pid(running)!.Value;

        static int? Pid(ResourceEvent e) => e.Snapshot.Properties.FirstOrDefault(p => p.Name == "executable.pid")?.Value switch { int pid => pid, long pid => (int)pid, _ => null };
    }

    public static bool IsAlive(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    // A test project is not an AppHost: what an AppHost's build knows of the orchestrator, it has to be told.
    private static string? OfAppHost(string key) => typeof(Projects.AppHost).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .FirstOrDefault(a => string.Equals(a.Key, key, StringComparison.OrdinalIgnoreCase))?.Value;
}
