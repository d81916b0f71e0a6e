using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Platform.Backend.Tests.Owners;

/// <summary>Everything that a service logs and traces, as text.</summary>
public sealed class RecordedSignals : ILoggerProvider, ISupportExternalScope
{
    private readonly ConcurrentQueue<string> _all = new();
    private readonly ActivityListener _listener;
    private IExternalScopeProvider? _scopes;

    public RecordedSignals()
    {
        _listener = new()
        {
            ShouldListenTo = _ => true,
            Sample = (ref _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity => _all.Enqueue(
                $"span {activity.DisplayName} {string.Join(' ', activity.TagObjects.Select(tag => $"{tag.Key}={tag.Value}"))} " +
                string.Join(' ', activity.Events.SelectMany(happened => happened.Tags.Select(tag => $"{happened.Name} {tag.Key}={tag.Value}")))),
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public IReadOnlyCollection<string> All => [.. _all];

    public void Record(IWebHostBuilder builder) => builder.ConfigureServices(services => services.AddSingleton<ILoggerProvider>(this));

    public void ShouldNotHave(string secret) => _all.ShouldNotContain(line => line.Contains(secret, StringComparison.Ordinal));

    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

    public void Dispose() => _listener.Dispose();

    private sealed class Logger(RecordedSignals owner, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            owner._all.Enqueue($"{logLevel} {category} {formatter(state, exception)} {exception}");
            owner._scopes?.ForEachScope((scope, _) => owner._all.Enqueue($"scope {scope}"), 0);
        }
    }
}
