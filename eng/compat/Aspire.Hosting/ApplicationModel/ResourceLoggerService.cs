using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.ApplicationModel;

public readonly record struct LogLine(int LineNumber, string Content, bool IsErrorMessage);

/// <summary>The console output of the resources, kept so that who comes late sees it too.</summary>
public class ResourceLoggerService : IDisposable
{
    private readonly ConcurrentDictionary<string, ResourceLog> _logs = new(StringComparer.OrdinalIgnoreCase);

    public ILogger GetLogger(IResource resource)
    {
        ArgumentNullException.ThrowIfNull(resource);
        var logs = resource.GetInstanceNames().Select(GetLog).ToArray();
        return logs.Length == 1 ? logs[0] : new AllLogs(logs);
    }

    public ILogger GetLogger(string resourceName)
    {
        ArgumentNullException.ThrowIfNull(resourceName);
        return GetLog(resourceName);
    }

    public IAsyncEnumerable<IReadOnlyList<LogLine>> GetAllAsync(IResource resource)
    {
        ArgumentNullException.ThrowIfNull(resource);
        return GetAllAsync(resource.GetInstanceNames()[0]);
    }

    public IAsyncEnumerable<IReadOnlyList<LogLine>> GetAllAsync(string resourceName)
    {
        ArgumentNullException.ThrowIfNull(resourceName);
        return All(GetLog(resourceName));

        static async IAsyncEnumerable<IReadOnlyList<LogLine>> All(ResourceLog log)
        {
            await Task.CompletedTask.ConfigureAwait(false);
            if (log.Lines() is { Count: > 0 } lines)
                yield return lines;
        }
    }

    public IAsyncEnumerable<IReadOnlyList<LogLine>> WatchAsync(IResource resource)
    {
        ArgumentNullException.ThrowIfNull(resource);
        return WatchAsync(resource.GetInstanceNames()[0]);
    }

    public IAsyncEnumerable<IReadOnlyList<LogLine>> WatchAsync(string resourceName)
    {
        ArgumentNullException.ThrowIfNull(resourceName);
        return GetLog(resourceName).WatchAsync();
    }

    public void Complete(IResource resource)
    {
        ArgumentNullException.ThrowIfNull(resource);
        foreach (var name in resource.GetInstanceNames())
            Complete(name);
    }

    public void Complete(string name) => GetLog(name).Complete();

    public void ClearBacklog(string resourceName) => GetLog(resourceName).Clear();

    public void Dispose()
    {
        foreach (var log in _logs.Values)
            log.Complete();
        GC.SuppressFinalize(this);
    }

    /// <summary>Called with each line of any resource.</summary>
    internal Action<string, LogLine>? LineAdded { get; set; }

    /// <summary>Adds a line of the program itself, as it wrote it.</summary>
    internal void AddLine(string instance, string content, bool isError) => GetLog(instance).Add(content, isError);

    private ResourceLog GetLog(string name) => _logs.GetOrAdd(name, n => new ResourceLog(line => LineAdded?.Invoke(n, line)));

    private sealed class ResourceLog(Action<LogLine> added) : ILogger
    {
        private const int Capacity = 10_000;
        private readonly Lock _lock = new();
        private readonly Queue<LogLine> _lines = new();
        private readonly List<Channel<LogLine>> _watchers = [];
        private int _lastLine;

        public void Add(string content, bool isError)
        {
            LogLine line;
            lock (_lock)
            {
                line = new LogLine(++_lastLine, content, isError);
                _lines.Enqueue(line);
                if (_lines.Count > Capacity)
                    _lines.Dequeue();
                foreach (var watcher in _watchers)
                    watcher.Writer.TryWrite(line);
            }

            added(line);
        }

        public IReadOnlyList<LogLine> Lines()
        {
            lock (_lock)
                return [.. _lines];
        }

        public void Clear()
        {
            lock (_lock)
                _lines.Clear();
        }

        public void Complete()
        {
            lock (_lock)
            {
                foreach (var watcher in _watchers)
                    watcher.Writer.TryComplete();
                _watchers.Clear();
            }
        }

        public async IAsyncEnumerable<IReadOnlyList<LogLine>> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            var channel = Channel.CreateUnbounded<LogLine>(new UnboundedChannelOptions { SingleReader = true });
            IReadOnlyList<LogLine> backlog;
            lock (_lock)
            {
                backlog = [.. _lines];
                _watchers.Add(channel);
            }

            try
            {
                if (backlog.Count > 0)
                    yield return backlog;
                while (await channel.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
                {
                    var batch = new List<LogLine>();
                    while (batch.Count < 1000 && channel.Reader.TryRead(out var line))
                        batch.Add(line);
                    yield return batch;
                }
            }
            finally
            {
                lock (_lock)
                    _watchers.Remove(channel);
            }
        }

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var text = formatter(state, exception);
            var timestamp = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);
            Add($"{timestamp} {text}{(exception is null ? "" : Environment.NewLine + exception)}", logLevel >= LogLevel.Error);
        }
    }

    private sealed class AllLogs(ResourceLog[] logs) : ILogger
    {
        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            foreach (var log in logs)
                log.Log(logLevel, eventId, state, exception, formatter);
        }
    }
}
