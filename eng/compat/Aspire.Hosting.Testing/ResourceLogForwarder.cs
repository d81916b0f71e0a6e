using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Testing;

/// <summary>Gives the console output of every resource to the test's logging, category <c>{AppHost}.Resources.{name}</c>.</summary>
internal sealed class ResourceLogForwarder(ResourceLoggerService resources, ResourceNotificationService notifications, ILoggerFactory loggers, IHostEnvironment environment) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        resources.LineAdded = (instance, line) =>
        {
            var name = notifications.TryGetCurrentState(instance, out var known) ? known.Resource.Name : instance;
            loggers.CreateLogger($"{environment.ApplicationName}.Resources.{name}")
                .Log(line.IsErrorMessage ? LogLevel.Error : LogLevel.Information, 0, line, null, static (l, _) => $"{l.LineNumber}: {l.Content}");
        };
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
